from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

class TokenAuthentication(BaseAuthentication):
    def authenticate_credentials(self, token: bytes) -> tuple[Any, Any]: ...
    def authenticate_header(self, request: Request) -> str: ...

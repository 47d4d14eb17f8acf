"""What every request and answer is held to: methods, cookies, headers, TLS for programs."""

from __future__ import annotations

import http.client
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, connection, transaction
from django.http import HttpResponse
from django.test import Client, RequestFactory, override_settings
from django.utils.html import escape
from rest_framework.test import APIClient

from followups.models import Lead, LookupEvent
from followups.tests.factories import PHONE, ladder
from governance.core.actors import Actor, Role
from governance.core.errors import Forbidden, Invalid, NotFound, Refused
from governance.core.http import PAGES_OF_API
from governance.core.strict_json import UnreadableJSON, read_json
from governance.models import ApiToken, IdempotentAnswer, User
from valhalla.http_policy import RefusalsAsPages
from valhalla.http_request import Request
from valhalla.tests.serving import MANAGE, ROOT, Server, environment
from valhalla.tests.test_access import addresses, filled

Api = Callable[..., APIClient]
People = Callable[..., User]
API = "/api/governance/market/effective?province=ON"


# --- methods ------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "FOO", "PUT", "DELETE", "OPTIONS"])
def test_a_page_reads_and_posts_and_answers_nothing_else(client: Client, person: People, method: str) -> None:
    user = person(Role.MANAGER)
    user.is_superuser = True
    user.save()
    client.force_login(user)
    client.raise_request_exception = False
    paths = [filled(place) for place, _view in addresses() if not place.startswith("api/")]
    found = {path: client.generic(method, path).status_code for path in [*paths, "/admin/", "/nowhere/"]}
    assert set(found.values()) == {405}, found


@pytest.mark.django_db
def test_an_address_with_a_character_that_postgres_cannot_look_for_is_refused(
    client: Client, person: People
) -> None:
    client.force_login(person(Role.MANAGER))
    for asked in ("name__exact=a%00b", "task__contains=%00", "task__exact=x&x__y=%00"):
        with transaction.atomic():
            answer = client.get(f"/admin/django_celery_beat/periodictask/?{asked}", follow=True)
            transaction.set_rollback(True)
        assert answer.status_code in {200, 400}, asked
        if connection.vendor == "postgresql" and answer.status_code == 400:
            assert "cannot be used" in answer.content.decode()
    if connection.vendor == "postgresql":
        with transaction.atomic():
            assert client.get("/admin/django_celery_beat/periodictask/?name__exact=%00").status_code == 400
            transaction.set_rollback(True)


@pytest.mark.django_db
def test_no_path_or_cookie_with_a_character_no_database_can_look_for_is_looked_for(
    client: Client, person: People
) -> None:
    client.force_login(person(Role.MANAGER))
    for page in ("change", "history"):
        assert client.get(f"/admin/governance/apitoken/a%00/{page}/").status_code == 400

    client.cookies.clear()
    cookie = {"Cookie": 'sessionid="abcdefghijkl\\000"'}  # quoted, it is written in octal
    assert client.get("/sessions/", headers=cookie).status_code == 302
    assert client.post("/login/", {"username": "ann", "password": "x"}, headers=cookie).status_code == 200
    assert client.get(API, headers=cookie).status_code == 401


@pytest.mark.parametrize(
    ("header", "read_as"),
    [
        ("text/plain; charset=hex", "é"), ("text/plain; charset=rot13", "é"),
        ("text/plain; charset=idna", "é"), ("text/plain; charset=utf-7", "é"),
        ("text/plain; charset=unicode_escape", "é"), ("text/plain; charset=nothing", "é"),
        ("text/plain; charset=a\0", "é"), ("a/b; c*=undefined''%ff", "é"), ("a/b; c*=hex''%ff", "é"),
        ("text/plain; charset=utf8", "é"), ("text/plain; charset=latin-1", "Ã©"),
    ],
)  # fmt: skip
def test_a_charset_that_is_none_is_read_as_utf_8(rf: RequestFactory, header: str, read_as: str) -> None:
    request = Request(rf._base_environ(QUERY_STRING="a=%C3%A9", CONTENT_TYPE=header))  # type: ignore[attr-defined]  # not in the stubs

    assert request.GET["a"] == read_as


@pytest.mark.django_db
def test_no_file_is_taken_for_a_parameter(api: Api) -> None:
    for key in ("", "once"):
        sent = {"lead_id": "L-1", "province": "ON", "note": SimpleUploadedFile("a.txt", b"x")}
        headers = {"Idempotency-Key": key} if key else {}
        answer = api(Role.SERVICE).post(
            "/api/followups/ladder/create", sent, format="multipart", headers=headers
        )
        assert (answer.status_code, list(answer.json()["errors"])) == (400, ["note"])


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "PROPFIND", "FOO"])
def test_the_api_answers_an_unknown_method_with_405_and_a_problem(api: Api, method: str) -> None:
    client = api("MANAGER")
    client.raise_request_exception = False
    for place, _view in addresses():
        if place.startswith("api/") and f"/{place}" not in PAGES_OF_API:
            answer = client.generic(method, filled(place))
            assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed"), place
            assert "TRACE" not in answer["Allow"]


@pytest.mark.django_db
def test_no_method_makes_a_500_anywhere_in_the_api(api: Api) -> None:
    client = api("MANAGER")
    client.raise_request_exception = False
    for place, _view in addresses():
        for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"):
            assert client.generic(method, filled(place)).status_code < 500, (method, place)


# --- headers ------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_answers_are_stored_nowhere_and_ask_the_browser_for_nothing(client: Client, person: People) -> None:
    client.force_login(person(Role.MANAGER))
    paths = ["/followups/", "/admin/", "/admin/followups/lead/", "/admin/governance/user/", "/sessions/", API]
    for path in [*paths, "/login/", "/nowhere/", "/api/followups/lookup?phone=416-555-0199"]:
        answer = client.get(path)
        assert "no-store" in answer["Cache-Control"], path
        assert "camera=()" in answer["Permissions-Policy"], path
        assert answer["Cross-Origin-Resource-Policy"] == "same-origin", path


@pytest.mark.django_db
def test_what_a_token_reads_is_stored_nowhere(api: Api) -> None:
    for path in ("/api/followups/leads", "/api/followups/due", "/api/buyers/buyers", "/api/nowhere"):
        assert api("MANAGER").get(path)["Cache-Control"] == "no-store", path
    assert APIClient().get("/api/followups/leads")["Cache-Control"] == "no-store"


# --- TLS ----------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_an_api_call_in_the_clear_is_refused_and_a_page_is_sent_on(api: Api, client: Client) -> None:
    with override_settings(SECURE_SSL_REDIRECT=True):
        for call in (api("MANAGER").get, api("MANAGER").post):
            answer = call(API)
            assert (answer.status_code, answer.json()["code"]) == (403, "tls_required")
        assert api("MANAGER").get(API, secure=True).status_code == 200
        page = client.get("/followups/")
        assert (page.status_code, page["Location"]) == (301, "https://testserver/followups/")
        assert client.get("/livez").status_code == 200


@pytest.mark.once
def test_the_proxy_refuses_api_calls_at_port_80_and_hides_versions_and_what_was_asked() -> None:
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    plain = text[text.index("listen 80;") :]
    assert re.search(r"location /api/ \{\s*return 403;", plain)
    assert re.search(r"location / \{\s*return 301 https://", plain)
    assert "server_tokens off;" in text
    (line,) = re.findall(r"log_format \w+ '([^;]*)';", text, re.DOTALL)
    assert "$uri" in line
    assert not re.search(r"\$request\b|\$request_uri|\$args|\$query_string|\$http_referer", line)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, installed: Path) -> Iterator[Server]:
    """A web server as production starts it, behind a proxy on this machine, with the VA `vera`."""
    var: Path = tmp_path_factory.mktemp("tls")
    shutil.copytree(installed, var, dirs_exist_ok=True)
    server = Server(var, f"sqlite:///{var / 'own.sqlite3'}", {"TLS": "1"}, "--only", "web")
    try:
        server.wait_until_up()
        yield server
    finally:
        server.press_ctrl_c()
        server.end()


def ask(
    server: Server, method: str, path: str, body: str = "", **headers: str
) -> tuple[http.client.HTTPResponse, list[str]]:
    call = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    call.request(method, path, body=body or None, headers=sent)
    answer = call.getresponse()
    answer.read()
    call.close()
    return answer, answer.headers.get_all("Set-Cookie") or []


PROXIED = {"X_Forwarded_Proto": "https", "X_Forwarded_For": "198.51.100.7"}


@pytest.mark.once
@pytest.mark.xdist_group("start")
def test_cookies_are_bound_to_this_host_over_tls(served: Server) -> None:
    _page, cookies = ask(served, "GET", "/login/", **PROXIED)
    (csrf,) = cookies
    assert csrf.startswith("__Host-csrftoken=")
    token = csrf.partition("=")[2].partition(";")[0]
    form = {
        **PROXIED,
        "Cookie": f"__Host-csrftoken={token}",
        "Referer": "https://127.0.0.1/login/",
        "Host": "127.0.0.1",
        "Content_Type": "application/x-www-form-urlencoded",
    }
    body = f"csrfmiddlewaretoken={token}&username=vera&password=a+long+password"
    entered, given = ask(served, "POST", "/login/", body, **form)
    assert entered.status == 302, entered.read()
    spoken = f"csrfmiddlewaretoken={token}&language=fr"
    _answer, language = ask(served, "POST", "/language/setlang/", spoken, **form)
    every = [csrf, *given, *language]
    assert {cookie.partition("=")[0] for cookie in every} == {
        "__Host-csrftoken",
        "__Host-sessionid",
        "__Host-language",
    }
    for cookie in every:
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; ")), cookie
        assert "Domain" not in cookie


@pytest.mark.once
@pytest.mark.xdist_group("start")
def test_a_served_answer_names_no_version_and_no_other_host(served: Server) -> None:
    answer, _cookies = ask(served, "GET", "/login/", **PROXIED)
    assert not re.search(r"[0-9]", answer.headers.get("Server", ""))
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"  # no subdomains, no preloading
    clear, _cookies = ask(served, "GET", API, Authorization="Bearer " + "0" * 64)
    assert clear.status == 403
    page, _cookies = ask(served, "GET", "/login/")
    assert (page.status, page.headers["Location"][:8]) == (301, "https://")
    traced, _cookies = ask(served, "TRACE", "/login/", **PROXIED)
    assert traced.status == 405
    for kind in ("text/plain; charset=hex", "a/b; c*=undefined''%ff"):
        unread, _cookies = ask(served, "GET", "/login/?a=%C3%A9", Content_Type=kind, **PROXIED)
        assert unread.status == 200, kind


@pytest.mark.once
def test_subdomains_and_preloading_are_set_by_whoever_owns_the_domain(tmp_path: Path) -> None:
    ask_settings = (
        "from django.conf import settings as s; "
        "print(s.SECURE_HSTS_INCLUDE_SUBDOMAINS, s.SECURE_HSTS_PRELOAD, s.SESSION_COOKIE_NAME, "
        "s.MESSAGE_STORAGE, "
        "__import__('valhalla.cookies').cookies.MessagesCookie.cookie_name)"
    )

    def told(**own: str) -> list[str]:
        command = [*MANAGE, "shell", "-v", "0", "-c", ask_settings]
        got = subprocess.run(
            command, cwd=ROOT, env=environment(tmp_path, own), check=True, capture_output=True, text=True
        )
        return got.stdout.split()

    names = ["__Host-sessionid", "valhalla.cookies.Messages", "__Host-messages"]
    assert told(TLS="1", HSTS_INCLUDE_SUBDOMAINS="1", HSTS_PRELOAD="1") == ["True", "True", *names]
    assert told(TLS="0") == ["False", "False", "sessionid", "valhalla.cookies.Messages", "messages"]


# --- questions that stay out of addresses -------------------------------------------------------------------


@pytest.mark.django_db
def test_a_number_is_looked_up_by_post_as_by_get(api: Api, by: Callable[..., Actor]) -> None:
    ladder(by("VA"))
    client = api("VA")
    asked = client.get("/api/followups/lookup", {"phone": PHONE}).json()
    told = client.post("/api/followups/lookup", {"phone": PHONE}, format="json")
    assert told.status_code == 200
    assert [lead["lead_id"] for lead in told.json()["leads"]] == ["L-1"]
    assert {**told.json()["leads"][0], "local_time": ""} == {**asked["leads"][0], "local_time": ""}
    assert LookupEvent.objects.count() == 2
    wrong = client.post("/api/followups/lookup", {"phone": PHONE, "mail": "x"}, format="json")
    assert (wrong.status_code, list(wrong.json()["errors"])) == (400, ["mail"])
    assert client.post("/api/followups/lookup", {"phone": "12"}, format="json").status_code == 400
    assert client.post("/api/followups/lookup").status_code == 400


@pytest.mark.django_db
def test_the_gate_is_asked_by_post_as_by_get(api: Api) -> None:
    given = {"province": "ON", "channel": "SMS", "phone": PHONE, "hhmm": "14:30"}
    question: Mapping[str, str | int] = {**given, "weekday": 2}
    client = api("SERVICE")
    asked = client.get("/api/governance/market/can-contact", question)
    told = client.post("/api/governance/market/can-contact", question, format="json")
    assert (told.status_code, told.json()) == (200, asked.json())
    assert client.post("/api/governance/market/can-contact", question).json() == asked.json()  # as a form
    wrong = client.post("/api/governance/market/can-contact", {**question, "mail": "x"}, format="json")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "unknown_field")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/followups/lookup", {"phone": PHONE}),
        ("/api/governance/market/can-contact", {"province": "ON", "channel": "SMS", "phone": PHONE}),
    ],
)
def test_an_answer_to_a_question_is_never_stored_under_a_key(
    api: Api, by: Callable[..., Actor], path: str, body: dict[str, str]
) -> None:
    ladder(by("VA"))
    client = api("VA")
    for _time in range(2):
        answer = client.post(path, body, format="json", HTTP_IDEMPOTENCY_KEY="k-1")
        assert answer.status_code == 200
        assert "Idempotent-Replayed" not in answer
    assert not IdempotentAnswer.objects.exists()


# --- JSON ---------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("body", "key"),
    [
        ('{"lead_id": "L-1", "province": "ON", "province": "QC"}', "province"),
        ('{"lead_id": "L-1", "province": "ON", "extra": {"a": 1, "b": 2, "a": 1}}', "a"),
        ('{"lead_id": "L-1", "province": "ON", "x": [{"é": 1, "\\u00e9": 2}]}', "é"),
        ('{"lead_id": "L-1", "\\ud800": 1, "\\ud800": 2}', "body"),
        ('{"\\u0000": 1, "\\u0000": 2}', "body"),
    ],
)
def test_a_key_given_twice_is_refused_by_name(api: Api, body: str, key: str) -> None:
    answer = api("VA").generic("POST", "/api/followups/ladder/create", body, content_type="application/json")
    assert (answer.status_code, list(answer.json()["errors"])) == (400, [key])
    assert "more than once" in answer.json()["detail"]
    assert not Lead.objects.exists()


@pytest.mark.once
def test_json_in_a_form_holds_each_key_once() -> None:
    with pytest.raises(UnreadableJSON) as wrong:
        read_json('[{"price": 1, "price": 2}]')
    assert wrong.value.field == "price"
    assert read_json('[{"price": 1}, {"price": 2}]') == [{"price": 1}, {"price": 2}]


# --- a claim given back, a token's ceiling ------------------------------------------------------------------


@pytest.mark.django_db
def test_a_closer_who_releases_anothers_task_is_told_whose_it_is(
    person: People, by: Callable[..., Actor], client: Client
) -> None:
    by("VA", "gus")
    task = ladder(by("MANAGER"), owner="gus").tasks[0]
    client.force_login(person(Role.CLOSER))
    client.raise_request_exception = False
    answer = client.post(f"/followups/task/{task.pk}/release/")
    assert answer.status_code == 403
    assert "This task belongs to gus" in answer.content.decode()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (Forbidden("not_your_task", "This task is somebody's."), 403),
        (Refused("task_closed", "This task is closed."), 409),
        (Invalid({"note": ["Too long."]}), 400),
        (NotFound(), 404),
    ],
)
def test_a_refusal_that_a_page_did_not_expect_is_no_500(
    person: People, refusal: Refused, status: int
) -> None:
    request = RequestFactory().post("/followups/release/")
    request.user = person(Role.VA)
    answer = RefusalsAsPages(lambda _request: HttpResponse()).process_exception(request, refusal)
    assert answer is not None
    assert answer.status_code == status
    if status != 404:
        assert escape(str(refusal)) in answer.content.decode()


@pytest.mark.django_db
def test_the_database_knows_a_tokens_ceiling(api: Api) -> None:
    api("SERVICE")
    for calls in (0, 60_001, 2**31 - 1):
        with pytest.raises(IntegrityError), transaction.atomic():
            ApiToken.objects.update(calls_per_minute=calls)
    assert ApiToken.objects.update(calls_per_minute=60_000) == 1

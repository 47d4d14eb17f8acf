"""Buyers as a spreadsheet: its columns, and the service that writes a row."""

from __future__ import annotations

from import_export.fields import Field

from buyers import services
from buyers.models import Buyer
from governance.core.admin.transfer import Amount, Day, Labels, ServiceResource


class BuyerResource(ServiceResource):
    """A buyer per row, identified by their id."""

    provinces = Field("provinces", "provinces", Labels())
    markets = Field("markets", "markets", Labels())
    property_types = Field("property_types", "property_types", Labels())
    price_min = Field("price_min", "price_min", Amount())
    price_max = Field("price_max", "price_max", Amount())
    proof_of_funds = Field("proof_of_funds", "proof_of_funds", Amount())
    proof_of_funds_on = Field("proof_of_funds_on", "proof_of_funds_on", Day())

    class Meta(ServiceResource.Meta):
        model = Buyer
        import_id_fields = ("external_id",)
        fields = (
            "external_id", "name", "phone", "email", "provinces", "markets", "property_types", "price_min",
            "price_max", "proof_of_funds", "proof_of_funds_on",
        )  # fmt: skip

    def serve(self, row: Buyer) -> None:
        services.save_buyer(row, by=self.by, at=self.at)

from django_filters.rest_framework import (
    CharFilter as CharFilter,
)
from django_filters.rest_framework import (
    ChoiceFilter as ChoiceFilter,
)
from django_filters.rest_framework import (
    DateFilter as DateFilter,
)
from django_filters.rest_framework import (
    Filter as Filter,
)
from django_filters.rest_framework import (
    FilterSet as FilterSet,
)
from django_filters.rest_framework import (
    NumberFilter as NumberFilter,
)
from django_filters.rest_framework import (
    TypedChoiceFilter as TypedChoiceFilter,
)

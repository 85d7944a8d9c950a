from django.contrib import admin
from django.contrib.auth.decorators import login_required
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from monitoring.health import healthz, readyz

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("admin/", admin.site.urls),
    path("api/", include("jobs.api_urls")),
    path("api/", include("cluster.api_urls")),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("docs", login_required(SpectacularSwaggerSplitView.as_view()), name="docs"),
    path("", include("jobs.urls")),
    path("", include("cluster.urls")),
    path("", include("monitoring.urls")),
]

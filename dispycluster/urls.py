from django.contrib import admin
from django.contrib.auth import views as auth
from django.contrib.auth.decorators import login_not_required, login_required
from django.urls import include, path
from django.views.i18n import set_language
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from monitoring.health import healthz, readyz

urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("admin/", admin.site.urls),
    path("login", auth.LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout", auth.LogoutView.as_view(), name="logout"),
    path("password", auth.PasswordChangeView.as_view(), name="password_change"),
    path("password/done", auth.PasswordChangeDoneView.as_view(), name="password_change_done"),
    path("language", login_not_required(set_language), name="set_language"),
    path("api/", include("jobs.api_urls")),
    path("api/", include("schedules.api_urls")),
    path("api/", include("cluster.api_urls")),
    path("api/", include("cluster.joining.api_urls")),
    path("api/", include("monitoring.api_urls")),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("docs", login_required(SpectacularSwaggerSplitView.as_view()), name="docs"),
    path("", include("jobs.urls")),
    path("", include("schedules.urls")),
    path("", include("cluster.joining.urls")),
    path("", include("cluster.urls")),
    path("", include("monitoring.urls")),
]

handler404 = "dispycluster.errors.not_found"
handler500 = "dispycluster.errors.server_error"

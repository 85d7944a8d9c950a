from django.urls import path

from cluster.joining import api

urlpatterns = [
    path("cluster/invitations", api.InvitationList.as_view(), name="api-invitations"),
    path("cluster/invitations/<int:pk>", api.InvitationDetail.as_view(), name="api-invitation"),
]

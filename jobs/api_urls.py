from django.urls import path

from jobs import api, api_failures, api_files

urlpatterns = [
    path("jobs", api.JobList.as_view(), name="api-jobs"),
    path("jobs/status", api.JobStatus.as_view(), name="api-job-status"),
    path("jobs/<int:pk>", api.JobDetail.as_view(), name="api-job"),
    path("jobs/<int:pk>/why", api.JobWhy.as_view(), name="api-job-why"),
    path("jobs/<int:pk>/cancel", api.JobCancel.as_view(), name="api-job-cancel"),
    path("jobs/<int:pk>/requeue", api.JobRequeue.as_view(), name="api-job-requeue"),
    path("jobs/<int:pk>/output", api.JobOutput.as_view(), name="api-job-output"),
    path("jobs/<int:pk>/artifacts", api.JobArtifacts.as_view(), name="api-job-artifacts"),
    path("sweeps", api.SweepList.as_view(), name="api-sweeps"),
    path("sweeps/<int:pk>", api.SweepDetail.as_view(), name="api-sweep"),
    path("sweeps/<int:pk>/cancel", api.SweepCancel.as_view(), name="api-sweep-cancel"),
    path("failures", api_failures.FailureList.as_view(), name="api-failures"),
    path("failures/<str:digest>", api_failures.FailureDetail.as_view(), name="api-failure"),
    path(
        "failures/<str:digest>/requeue",
        api_failures.FailureRequeue.as_view(),
        name="api-failure-requeue",
    ),
    path("files", api_files.FileList.as_view(), name="api-files"),
    path("files/<str:digest>", api_files.FileDetail.as_view(), name="api-file"),
    path("dispy/cleanup", api.DispyCleanup.as_view(), name="api-dispy-cleanup"),
]

from django.urls import path

from jobs.views import detail, failing, listing, output, submitting, sweeps

urlpatterns = [
    path("jobs", listing.jobs_page, name="jobs"),
    path("jobs/bulk", listing.bulk, name="bulk"),
    path("jobs/<int:pk>", detail.job_page, name="job"),
    path("jobs/<int:pk>/attempts/<int:number>", detail.job_page, name="job_attempt"),
    path("jobs/<int:pk>/cancel", detail.cancel_job, name="cancel_job"),
    path("jobs/<int:pk>/requeue", detail.requeue_job, name="requeue_job"),
    path("jobs/<int:pk>/hold", detail.hold_job, name="hold_job"),
    path("jobs/<int:pk>/delete", detail.delete_job, name="delete_job"),
    path("jobs/<int:pk>/result.json", detail.result, name="result"),
    path("artifacts/<int:pk>", detail.artifact, name="artifact"),
    path("attempts/<int:pk>/<str:stream>", output.output_page, name="output"),
    path("attempts/<int:pk>/<str:stream>/raw", output.raw_output, name="raw_output"),
    path("submit", submitting.submit_page, name="submit"),
    path("submit/preview", submitting.preview, name="preview"),
    path("sweeps", sweeps.sweeps_page, name="sweeps"),
    path("sweeps/<int:pk>", sweeps.sweep_page, name="sweep"),
    path("sweeps/<int:pk>/retry", sweeps.retry_failed, name="retry_failed"),
    path("sweeps/<int:pk>/cancel", sweeps.cancel_rest, name="cancel_rest"),
    path("sweeps/<int:pk>/results.csv", sweeps.results_csv, name="results_csv"),
    path("failures", failing.failures_page, name="failures"),
    path("failures/<str:digest>", failing.failure_page, name="failure"),
    # Regions that refresh themselves.
    path("live/jobs", listing.live_jobs, name="live_jobs"),
    path("live/jobs/<int:pk>", detail.live_job, name="live_job"),
    path("live/attempts/<int:pk>/<str:stream>", output.live_output, name="live_output"),
    path("live/failures", failing.failures_page, name="live_failures"),
    path("live/sweeps", sweeps.sweeps_page, name="live_sweeps"),
    path("live/sweeps/<int:pk>", sweeps.live_sweep, name="live_sweep"),
]

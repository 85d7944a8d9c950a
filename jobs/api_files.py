from typing import Any

from django.http import FileResponse, Http404
from django.shortcuts import get_object_or_404
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from jobs import files
from jobs.models import File
from jobs.parsers import RawBody
from jobs.representations import FileOut


class FileList(APIView):
    parser_classes = [MultiPartParser, RawBody]

    @extend_schema(
        request={"application/octet-stream": bytes, "multipart/form-data": {"type": "object"}},
        responses={201: FileOut},
    )
    def post(self, request: Request) -> Response:
        """Upload an input file: the raw body, or the field `file` of a form."""
        sent: Any = request.data
        if "file" not in sent:
            raise ValidationError({"file": [_("Send the bytes as the body, or as this field.")]})
        chunks = sent["file"].chunks()
        try:
            file = files.store(chunks, request.user, timezone.now())
        except files.TooLarge as error:
            raise ValidationError({"file": [str(error)]}) from None
        except OSError:
            for _chunk in chunks:  # a client that still sends would not hear our answer
                pass
            raise
        return Response(FileOut(file).data, status=status.HTTP_201_CREATED)


class FileDetail(APIView):
    @extend_schema(
        parameters=[OpenApiParameter("name", str, description="to save it under")],
        responses={200: bytes},
    )
    def get(self, request: Request, digest: str) -> FileResponse:
        """The bytes, always as an attachment."""
        file = get_object_or_404(File, pk=digest)
        try:
            stream = open(files.path(file.pk), "rb")  # noqa: SIM115  FileResponse closes it
        except OSError:
            raise Http404(_("Its bytes are gone from this machine.")) from None
        name = request.query_params.get("name", file.pk.replace(":", "-"))[:200]
        return FileResponse(
            stream, as_attachment=True, filename=name, content_type="application/octet-stream"
        )

"""Signs requests as botocore does: one JSON request a line on stdin, one Authorization header a line on stdout."""

import json
import sys

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.utils import percent_encode

for line in sys.stdin:
    given = json.loads(line)
    path = given["prefix"] + percent_encode(bytes.fromhex(given["key"]), safe="/~")
    request = AWSRequest(
        method=given["method"],
        url=given["base"] + path,
        headers=given["headers"],
        data=bytes.fromhex(given["body"]),
        params=given["query"],
    )
    request.context["timestamp"] = given["timestamp"]
    signer = S3SigV4Auth(Credentials("AKEXAMPLE", "secret/+example", given.get("token")), "s3", "eu-central-1")
    signer._modify_request_before_signing(request)
    text = signer.string_to_sign(request, signer.canonical_request(request))
    signer._inject_signature_to_request(request, signer.signature(text, request))
    print(request.headers["Authorization"])

#!/usr/bin/env python3
"""Looks into a bucket with boto3: a client that is not ours.

    bucket.py list [PREFIX]    keys and sizes, for people
    bucket.py json [PREFIX]    [{key, size, etag, modified, sha256, metadata, type}] after downloading every object
    bucket.py heads [PREFIX]   the same without downloading: without sha256, metadata and type
    bucket.py make             makes the bucket; it may be there already
    bucket.py wait SECONDS     waits until the bucket answers

Which bucket and whose: S3_ENDPOINT, S3_BUCKET_NAME, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY, S3_REGION.
"""
import hashlib
import json
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

BUCKET = os.environ["S3_BUCKET_NAME"]
WORKERS = 8


def client():
    return boto3.client(
        "s3",
        endpoint_url=os.environ["S3_ENDPOINT"],
        aws_access_key_id=os.environ["S3_ACCESS_KEY_ID"],
        aws_secret_access_key=os.environ["S3_SECRET_ACCESS_KEY"],
        region_name=os.environ.get("S3_REGION", "us-east-1"),
        config=Config(
            s3={"addressing_style": "path"}, max_pool_connections=WORKERS, connect_timeout=5, read_timeout=60,
        ),
    )


def objects(s3, prefix):
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix):
        yield from page.get("Contents", [])


def head(item):
    return {
        "key": item["Key"],
        "size": item["Size"],
        "etag": item["ETag"].strip('"'),
        "modified": item["LastModified"].isoformat(),
    }


def whole(s3, item):
    answer = s3.get_object(Bucket=BUCKET, Key=item["Key"])
    digest = hashlib.sha256()
    for chunk in answer["Body"].iter_chunks(1 << 20):
        digest.update(chunk)
    facts = {"sha256": digest.hexdigest(), "metadata": answer["Metadata"], "type": answer["ContentType"]}
    return head(item) | facts


def wait(s3, seconds):
    deadline = time.monotonic() + seconds
    while True:
        try:
            return s3.head_bucket(Bucket=BUCKET)
        except (BotoCoreError, ClientError) as error:
            if time.monotonic() > deadline:
                sys.exit(f"bucket.py: {BUCKET} does not answer: {error}")
            time.sleep(0.2)


def main():
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    command, arguments = (sys.argv[1:2] or [""])[0], sys.argv[2:]
    prefix = arguments[0] if arguments else ""
    s3 = client()
    if command == "list":
        count = total = 0
        for item in objects(s3, prefix):
            print(f"{item['Size']:>9}  {json.dumps(item['Key'], ensure_ascii=False)[1:-1]}")
            count, total = count + 1, total + item["Size"]
        print(f"{count} objects, {total} bytes")
    elif command == "json":
        with ThreadPoolExecutor(WORKERS) as pool:
            print(json.dumps(list(pool.map(lambda item: whole(s3, item), objects(s3, prefix)))))
    elif command == "heads":
        print(json.dumps([head(item) for item in objects(s3, prefix)]))
    elif command == "make":
        try:
            s3.create_bucket(Bucket=BUCKET)
        except (s3.exceptions.BucketAlreadyOwnedByYou, s3.exceptions.BucketAlreadyExists):
            pass
    elif command == "wait":
        wait(s3, float(arguments[0]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()

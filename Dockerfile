# The classic builder and BuildKit both build this, on every processor that Swift and Debian have.
ARG SWIFT_IMAGE=swift:6.3-bookworm
ARG RUNTIME_IMAGE=debian:trixie-slim

FROM ${SWIFT_IMAGE} AS build
RUN apt-get update \
  && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
    libcurl4-openssl-dev libexpat1-dev libssh2-1-dev pkg-config zlib1g-dev \
  && rm -rf /var/lib/apt/lists/*
WORKDIR /build
# The dependencies in a layer of their own, built once: the manifest with a hollow source for every target.
COPY Package.swift ./
COPY deploy/container/hollow-targets.sh ./
# As an archive, because a layer may keep times in whole seconds only, and then all would be built again.
RUN ./hollow-targets.sh \
  && swift build -c release --static-swift-stdlib --product sftp-to-s3 \
  && tar --format=posix -cf /dependencies.tar .build \
  && rm -rf .build Sources
COPY Sources Sources
RUN tar -xf /dependencies.tar \
  && swift build -c release --static-swift-stdlib --product sftp-to-s3 \
  && strip -o /sftp-to-s3 "$(swift build -c release --static-swift-stdlib --show-bin-path)/sftp-to-s3"

# trixie for its libssh2 1.11: strict key exchange, and key types that 1.10 does not know.
FROM ${RUNTIME_IMAGE}
RUN apt-get update \
  && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
    busybox ca-certificates libcurl4t64 libexpat1 libssh2-1t64 libstdc++6 tini tzdata util-linux \
  && rm -rf /var/lib/apt/lists/* /var/cache/apt/* /var/cache/debconf/*-old /var/log/* \
  && groupadd --gid 10001 mirror \
  && useradd --uid 10001 --gid 10001 --no-create-home --home-dir / --shell /usr/sbin/nologin mirror \
  && install -d -o 10001 -g 10001 /staging
COPY --from=build /sftp-to-s3 /usr/local/bin/sftp-to-s3
COPY deploy/container/entrypoint.sh deploy/container/job.sh /usr/local/lib/sftp-to-s3/
COPY crontab /etc/sftp-to-s3/crontab
# Every library must be there.
RUN sftp-to-s3 --version

ARG REVISION=unknown
LABEL org.opencontainers.image.title="sftp-to-s3" \
  org.opencontainers.image.description="Mirrors an SFTP folder into an S3 bucket, through a staging volume" \
  org.opencontainers.image.licenses="Apache-2.0" \
  org.opencontainers.image.revision="${REVISION}"
VOLUME /staging
# Beyond start-period, three failures in a row make the container unhealthy.
HEALTHCHECK --interval=1m --timeout=10s --start-period=10m --retries=3 CMD ["sftp-to-s3", "health"]
# root only starts: it hands an empty volume over and runs crond. Every job runs as user mirror, uid 10001.
ENTRYPOINT ["tini", "-s", "--", "/usr/local/lib/sftp-to-s3/entrypoint.sh"]

# syntax=docker/dockerfile:1
# The image: a distroless base with Node 24 and no shell, and one folder that build/image.ts makes. A release passes both
# images by digest, after it has checked who signed the base (.github/workflows/release.yml); a tag is for trying things out.
ARG NODE=docker.io/library/node:24-trixie-slim
ARG BASE=gcr.io/distroless/nodejs24-debian13:nonroot

# What is built is the same for every platform, so that it is built once, on the builder's own.
FROM --platform=$BUILDPLATFORM ${NODE} AS build
WORKDIR /src
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN --mount=type=cache,target=/root/.npm node build/image.ts

FROM ${BASE}
ARG BASE
ARG VERSION=0.0.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="ModelRoute" \
      org.opencontainers.image.description="An inference gateway: controller and proxy" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE}"
COPY --from=build /src/dist/image/ /
ENV NODE_ENV=production
WORKDIR /
# By number: a cluster that asks for runAsNonRoot cannot see that a name is not root.
USER 65532:65532
ENTRYPOINT ["modelroute"]
CMD ["--help"]

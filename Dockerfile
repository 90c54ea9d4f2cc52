# Builds the wheel with its compiled modules, then installs it without a compiler.
FROM python:3.12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE ./
COPY cdc cdc
COPY transforms transforms
COPY sinks sinks
COPY config config
COPY tailrace tailrace
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
COPY requirements.lock /tmp/requirements.lock
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir -c /tmp/requirements.lock "$(echo /wheels/*.whl)[http,kafka]" && rm -r /wheels \
    && useradd --create-home --uid 10001 tailrace && install -d -o tailrace /project
USER tailrace
WORKDIR /project
EXPOSE 8470
ENTRYPOINT ["tailrace"]
CMD ["run", "--listen", "0.0.0.0:8470"]

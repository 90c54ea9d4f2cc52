#!/bin/sh
# Fetches the broker that the tests run into the directory $1: Apache Kafka where Maven and Java 17
# are at hand, otherwise a broker that speaks its protocol, by the pip $2. Says which.
set -eu
to=$1
pip=$2
if ls "$to"/kafka_*.jar >/dev/null 2>&1; then echo "Tests of Kafka run on Apache Kafka"; exit 0; fi
major=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
if [ "${major:-0}" -ge 17 ] && command -v mvn >/dev/null; then
  mkdir -p "$to"
  if mvn -q -B -f "$(dirname "$0")/kafka_pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$(cd "$to" && pwd)/new" >&2; then
    mv "$to"/new/* "$to"
    rmdir "$to/new"
    echo "Tests of Kafka run on Apache Kafka"
    exit 0
  fi
fi
"$pip" install -q --disable-pip-version-check -c requirements.lock noida-db
chmod a+x "$(dirname "$pip")"/../lib/python*/site-packages/noida_db/noida-db
echo "Tests of Kafka run on noida-db, for want of Maven and Java 17"

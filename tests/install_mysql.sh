#!/bin/sh
# Unpacks a MySQL server into the directory $1, for the tests: Debian has one in its unstable
# distribution only, so it comes with the libraries it was built with and beside the system's.
# Needs apt-get and dpkg-deb on amd64, and neither root nor a change to the system.
set -eu
to=$1
if [ -x "$to/mysqld" ]; then exit 0; fi
if [ "$(dpkg --print-architecture 2>/dev/null)" != amd64 ]; then
  echo "no MySQL server for this system; its tests are skipped" >&2
  exit 1
fi
rm -rf "$to"
mkdir -p "$to/apt/lists/partial" "$to/apt/archives/partial" "$to/root"
to=$(cd "$to" && pwd)
: > "$to/apt/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
  "http://deb.debian.org/debian unstable main" > "$to/apt/sources.list"
apt() {
  apt-get -q -o Dir::Etc::sourcelist="$to/apt/sources.list" -o Dir::Etc::sourceparts=- \
    -o Dir::State::lists="$to/apt/lists" -o Dir::State::status="$to/apt/status" \
    -o Dir::Cache="$to/apt" -o Dir::Cache::archives="$to/apt/archives" \
    -o APT::Sandbox::User=root -o Debug::NoLocking=1 \
    -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@"
}
apt update >&2
apt install -y --download-only --no-install-recommends mysql-server-core >&2
for package in "$to"/apt/archives/*.deb; do
  dpkg-deb -x "$package" "$to/root"
done
rm -rf "$to/apt"
libraries=$to/root/usr/lib/x86_64-linux-gnu
share=$to/root/usr/share/mysql
# Its own loader, so that it takes the libraries beside it and not the system's.
cat > "$to/mysqld.new" <<END
#!/bin/sh
exec "$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" "$to/root/usr/sbin/mysqld" "\$@" \\
  --lc-messages-dir="$share" --character-sets-dir="$share/charsets" \\
  --plugin-dir="$to/root/usr/lib/mysql/plugin"
END
chmod -R a+rX "$to"
chmod a+x "$to/mysqld.new"
"$to/mysqld.new" --no-defaults --version >&2
mv "$to/mysqld.new" "$to/mysqld"

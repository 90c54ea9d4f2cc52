#!/bin/sh
# install_server.sh DIRECTORY DISTRIBUTION PACKAGE [MORE...]: unpacks a MySQL or MariaDB server that
# another distribution of Debian has, for the tests: beside the system's, and PACKAGE with the
# libraries that it was built with. Needs apt-get and dpkg-deb on amd64, and neither root nor a
# change to the system.
#
# DIRECTORY/mysqld, or DIRECTORY/mariadbd and DIRECTORY/mariadb-install-db, then start it: with
# DIRECTORY first in PATH, it is the MariaDB that tests, `make kill`, `make bench` and the demo find.
set -eu
to=$1 distribution=$2 package=$3
shift 3
if [ -x "$to/mysqld" ] || [ -x "$to/mariadbd" ]; then exit 0; fi
if [ "$(dpkg --print-architecture 2>/dev/null)" != amd64 ]; then
  echo "nothing is unpacked for this system" >&2
  exit 1
fi
rm -rf "$to"
mkdir -p "$to/apt/lists/partial" "$to/apt/archives/partial" "$to/root"
to=$(cd "$to" && pwd)
: > "$to/apt/status"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
  "http://deb.debian.org/debian $distribution main" > "$to/apt/sources.list"
apt() {
  apt-get -q -o Dir::Etc::sourcelist="$to/apt/sources.list" -o Dir::Etc::sourceparts=- \
    -o Dir::State::lists="$to/apt/lists" -o Dir::State::status="$to/apt/status" \
    -o Dir::Cache="$to/apt" -o Dir::Cache::archives="$to/apt/archives" \
    -o APT::Sandbox::User=root -o Debug::NoLocking=1 \
    -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@"
}
apt update >&2
apt install -y --download-only --no-install-recommends "$package" >&2
if [ $# -gt 0 ]; then (cd "$to/apt/archives" && apt download "$@" >&2); fi
for archive in "$to"/apt/archives/*.deb; do
  dpkg-deb -x "$archive" "$to/root"
done
rm -rf "$to/apt"

libraries=$to/root/lib/x86_64-linux-gnu:$to/root/usr/lib/x86_64-linux-gnu
loader=$(find "$to/root" -name 'ld-linux-x86-64.so.2' -path '*x86_64-linux-gnu*' | head -n 1)
share=$to/root/usr/share/mysql
if [ -d "$to/root/usr/share/mariadb" ]; then share=$to/root/usr/share/mariadb; fi
files="--lc-messages-dir=$share --character-sets-dir=$share/charsets --plugin-dir=$to/root/usr/lib/mysql/plugin"
# With its own loader, so that it takes the libraries beside it and not the system's.
launcher() { # NAME PATH ARGUMENTS: of the program PATH, as NAME.new
  printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s" "$@" %s\n' \
    "$loader" "$libraries" "$to/root/usr/$2" "$3" > "$to/$1.new"
  chmod a+x "$to/$1.new"
}
if [ -x "$to/root/usr/sbin/mariadbd" ]; then
  server=mariadbd
  # mariadb-install-db looks for what it needs below one directory: this.
  ln -s . "$to/bin" && ln -s . "$to/sbin"
  ln -s mariadbd "$to/mysqld" # what it is called before 10.6
  ln -s root/usr/share "$to/share" && ln -s root/usr/lib "$to/lib"
  for tool in my_print_defaults resolveip; do
    launcher "$tool" "bin/$tool" ""
    mv "$to/$tool.new" "$to/$tool"
  done
  printf '#!/bin/sh\nexec "%s" --basedir="%s" "$@"\n' \
    "$to/root/usr/bin/mariadb-install-db" "$to" > "$to/mariadb-install-db"
  chmod a+x "$to/mariadb-install-db"
else
  server=mysqld
fi
launcher "$server" "sbin/$server" "$files"
chmod -R a+rX "$to"
"$to/$server.new" --no-defaults --version >&2
mv "$to/$server.new" "$to/$server"

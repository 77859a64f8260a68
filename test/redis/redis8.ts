import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cacheFolder } from '../cache-folder.ts'

const run = promisify(execFile)

/**
 * How to start a Redis with sets of vectors: this machine's own, from version 8 on, or the one of the Debian that has
 * it, kept in a folder with the libraries that it wants, its C library among them, so that nothing here changes.
 */
export async function redis8(): Promise<readonly [string, ...string[]]> {
  const { stdout } = await run('redis-server', ['--version'])
  if (Number(/v=(\d+)/.exec(stdout)?.[1]) >= 8) return ['redis-server']
  const folder = join(cacheFolder, 'redis-8')
  if (!existsSync(join(folder, 'installed'))) await run('flock', [`${folder}.lock`, 'sh', '-euc', install, 'sh', folder], { maxBuffer: 2 ** 24 })
  const libraries = join(folder, 'root/usr/lib/x86_64-linux-gnu')
  return [join(libraries, 'ld-linux-x86-64.so.2'), '--argv0', 'redis-server', '--library-path', libraries, join(folder, 'root/usr/bin/redis-check-rdb')]
}

/** The server and its tools are one program. Packages come from where this machine has its own. */
const install = `
mkdir -p "$1" && cd "$1" && mkdir -p lists cache root packages
[ -n "$(find /var/lib/apt/lists -name '*Packages*' | head -1)" ] || apt-get update -q
from=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -1)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $from trixie main" > trixie.list
set -- -q -o Dir::Etc::sourcelist="$PWD/trixie.list" -o Dir::Etc::sourceparts=/dev/null -o Dir::State::lists="$PWD/lists" -o Dir::Cache="$PWD/cache" -o Dir::State::status=/dev/null -o APT::Sandbox::User=root
apt-get "$@" update
wanted=$(apt-cache "$@" depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances redis-tools | grep -E '^(redis-tools|lib[a-z0-9.+-]*|lua[a-z0-9.-]*|zlib1g)$' | sort -u)
cd packages && apt-get "$@" download $wanted && for package in *.deb; do dpkg -x "$package" ../root; done
cd .. && rm -rf lists cache packages && touch installed
`

// The network namespace a cluster test runs in. A real API server refuses loopback addresses in EndpointSlices, and
// Pods need addresses of their own: so run.ts starts every test file in namespaces of its own (network, mounts,
// processes), with a bridge that holds 10.77.0.1/16.
//
//   const address = addAddress()     // 10.78.0.1, .2, …: an address on `lo` for a server the test starts itself
import { execFileSync } from 'node:child_process'
import { networkInterfaces } from 'node:os'

export const bridge = 'mr0'
const gateway = '10.77.0.1'
let added = 0

/** The bridge's address inside a test namespace, undefined outside one. */
export function bridgeAddress(): string | undefined {
  return networkInterfaces()[bridge]?.find(({ family }) => family === 'IPv4')?.address
}

/** Why Pods and addresses cannot be had here, or false: for `test(name, { skip: outsideNamespace() }, …)`. */
export function outsideNamespace(): string | false {
  return bridgeAddress() ? false : 'needs a network namespace: run it with `node test/cluster/run.ts`'
}

/** A new address on this namespace's `lo` that an EndpointSlice may name. Throws outside a test namespace. */
export function addAddress(): string {
  if (!bridgeAddress()) throw new Error('addresses are added only in the namespace that test/cluster/run.ts makes')
  added += 1
  const address = `10.78.${added >> 8}.${added & 255}`
  execFileSync('ip', ['addr', 'add', `${address}/32`, 'dev', 'lo'])
  return address
}

/** The command that runs `command` in namespaces of its own, with `lo` up and the bridge made. */
export function inNamespace(command: readonly string[]): [string, ...string[]] {
  const setup = [
    'ip link set lo up',
    `ip link add ${bridge} type bridge`,
    // Without this a bridge waits for spanning tree on each new port, and takes a port's address as its own.
    `ip link set ${bridge} type bridge stp_state 0 forward_delay 0`,
    `ip link set ${bridge} address 02:77:00:00:00:01`,
    `ip addr add ${gateway}/16 dev ${bridge}`,
    `ip link set ${bridge} up`,
    // A bridge with no port has no carrier, and is no interface to a program that looks.
    `ip link add ${bridge}a type veth peer name ${bridge}b`,
    `ip link set ${bridge}a master ${bridge} up`,
    `ip link set ${bridge}b up`,
    'exec "$@"',
  ].join(' && ')
  const isolate = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc']
  return ['unshare', ...isolate, 'sh', '-c', setup, 'sh', ...command]
}

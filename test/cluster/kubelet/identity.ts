// Who a container's processes are, and where they find programs.
import { dirname } from 'node:path'
import type { ContainerSpec, PodSpec } from './spec.ts'

/** Who a container's processes are. */
export function account(container: ContainerSpec, pod: PodSpec): Readonly<{ user: number, group: number, groups: readonly number[] }> {
  const all = { ...pod.securityContext, ...container.securityContext }
  // The image's own user is unknown here: one that must not be root gets the usual number.
  const user = all.runAsUser ?? (all.runAsNonRoot ? 65532 : 0)
  const groups = [...pod.securityContext?.supplementalGroups ?? [], ...all.fsGroup === undefined ? [] : [all.fsGroup]]
  return { user, group: all.runAsGroup ?? user, groups }
}

/** The `setpriv` words for a security context: user, groups, capabilities. None for plain root. */
export function identity(container: ContainerSpec, pod: PodSpec): string[] {
  const all = { ...pod.securityContext, ...container.securityContext }
  const { user, group, groups } = account(container, pod)
  const words: string[] = []
  if (user !== 0 || group !== 0) {
    words.push(`--reuid=${user}`, `--regid=${group}`)
    words.push(groups.length > 0 ? `--groups=${groups.join(',')}` : '--clear-groups')
  }
  if (all.capabilities?.drop?.includes('ALL')) words.push('--bounding-set=-all', '--inh-caps=-all')
  if (all.allowPrivilegeEscalation === false) words.push('--no-new-privs')
  return words.length > 0 ? ['setpriv', ...words] : []
}

/** This Node first, then the machine's programs. */
export const searchPath = [
  '/app/node_modules/.bin', dirname(process.execPath),
  '/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin',
].join(':')

/** Where the programs of an image that is a folder are. */
export const imagePath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

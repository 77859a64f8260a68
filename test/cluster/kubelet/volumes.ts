// A Pod's volumes as folders. Secrets, ConfigMaps and projections are written as the kubelet writes them: a folder of
// their own per version, a `..data` link renamed over the old one, so that a reader sees all of one version or all of
// the next, and a watcher of the mount sees the rename.
import { chmod, chown, mkdir, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Api } from '../api.ts'
import type { Configs } from './configs.ts'
import { field, NotYet } from './env.ts'
import type { PodFacts } from './env.ts'
import type { Item, ProjectedSource, VolumeSpec } from './spec.ts'

type File = Readonly<{ content: Buffer, mode: number }>
type Files = Map<string, File>

export class Volumes {
  #folder: string
  #facts: PodFacts
  #api: Api
  #configs: Configs
  #written = new Map<string, string>()
  #tokens = new Map<string, Buffer>()
  #version = 0

  constructor(folder: string, facts: PodFacts, api: Api, configs: Configs) {
    this.#folder = folder
    this.#facts = facts
    this.#api = api
    this.#configs = configs
  }

  /** Where the volume's content is, for a bind mount. A hostPath is itself. */
  path(name: string): string {
    const volume = this.#facts.pod.spec.volumes?.find((volume) => volume.name === name)
    return volume?.hostPath?.path ?? join(this.#folder, name)
  }

  /** Makes what is missing and renews what changed. Throws NotYet while something it needs does not exist. */
  async write(): Promise<void> {
    for (const volume of this.#facts.pod.spec.volumes ?? []) {
      if (volume.hostPath) continue
      const folder = join(this.#folder, volume.name)
      await mkdir(folder, { recursive: true })
      if (volume.emptyDir) {
        await chmod(folder, 0o777)
        continue
      }
      await this.#swap(volume.name, folder, await this.#files(volume))
    }
  }

  async #files(volume: VolumeSpec): Promise<Files> {
    const files: Files = new Map()
    const { secret, configMap, downwardAPI, projected } = volume
    const sources: ProjectedSource[] = projected?.sources ?? [{
      ...secret && { secret: { ...secret, name: secret.secretName } },
      ...configMap && { configMap },
      ...downwardAPI && { downwardAPI },
    }]
    const mode = (secret ?? configMap ?? downwardAPI ?? projected)?.defaultMode ?? 0o644
    for (const source of sources) await this.#project(source, mode, files)
    return files
  }

  async #project({ secret, configMap, downwardAPI, serviceAccountToken }: ProjectedSource, mode: number, files: Files) {
    if (secret) this.#entries('Secret', secret, mode, files)
    if (configMap) this.#entries('ConfigMap', configMap, mode, files)
    for (const { path, fieldRef } of downwardAPI?.items ?? []) {
      files.set(path, { content: Buffer.from(field(fieldRef?.fieldPath ?? '', this.#facts)), mode })
    }
    if (serviceAccountToken) {
      const { path, audience, expirationSeconds } = serviceAccountToken
      files.set(path, { content: await this.#token(audience, expirationSeconds), mode })
    }
  }

  #entries(
    kind: 'Secret' | 'ConfigMap',
    { name, optional, items }: { name: string, optional?: boolean, items?: Item[] },
    mode: number,
    files: Files,
  ): void {
    const data = this.#configs.data(kind, this.#facts.pod.metadata.namespace, name)
    if (!data) {
      if (optional) return
      throw new NotYet(`MountVolume.SetUp failed: ${kind.toLowerCase()} "${name}" not found`)
    }
    for (const item of items ?? [...data.keys()].map((key): Item => ({ key, path: key }))) {
      const content = data.get(item.key)
      if (content) files.set(item.path, { content, mode: item.mode ?? mode })
      else if (!optional) throw new NotYet(`MountVolume.SetUp failed: ${kind} "${name}" has no key ${item.key}`)
    }
  }

  /** A token bound to this Pod, as the real kubelet asks for it. It is not renewed: tests end before it does. */
  async #token(audience = '', expirationSeconds = 3607): Promise<Buffer> {
    const known = this.#tokens.get(audience)
    if (known) return known
    const { metadata, spec } = this.#facts.pod
    const accounts = `/api/v1/namespaces/${metadata.namespace}/serviceaccounts`
    const answer = await this.#api.create(`${accounts}/${spec.serviceAccountName ?? 'default'}/token`, {
      apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest',
      spec: {
        audiences: audience ? [audience] : [], expirationSeconds,
        boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name: metadata.name, uid: metadata.uid },
      },
    })
    const token = Buffer.from((answer.status as { token: string }).token)
    this.#tokens.set(audience, token)
    return token
  }

  async #swap(name: string, folder: string, files: Files): Promise<void> {
    const content = JSON.stringify(
      [...files].map(([path, { content, mode }]) => [path, mode, content.toString('base64')]),
    )
    if (this.#written.get(name) === content) return
    const group = this.#facts.pod.spec.securityContext?.fsGroup
    const version = `..v${this.#version += 1}`
    await mkdir(join(folder, version), { mode: 0o755 })
    for (const [path, { content, mode }] of files) {
      const file = join(folder, version, path)
      await mkdir(dirname(file), { recursive: true })
      await writeFile(file, content)
      // With fsGroup the kubelet gives the group what the owner may read.
      await chmod(file, group === undefined ? mode : mode | (mode & 0o400) >> 3)
      if (group !== undefined) await chown(file, 0, group)
    }
    const data = join(folder, '..data')
    const old = await readlink(data).catch(() => undefined)
    await symlink(version, `${data}_tmp`)
    await rename(`${data}_tmp`, data)
    for (const top of new Set([...files.keys()].map((path) => path.split('/')[0] ?? path))) {
      await symlink(join('..data', top), join(folder, top)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error
      })
    }
    // A key that is gone leaves a dangling link, which reads as a missing file.
    if (old) await rm(join(folder, old), { recursive: true, force: true })
    this.#written.set(name, content)
  }
}

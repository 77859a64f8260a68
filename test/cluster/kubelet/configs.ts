// Every Secret and ConfigMap of the cluster, kept current, for environments and volumes.
import type { Api, KubeObject } from '../api.ts'

export class Configs {
  #objects = new Map<string, KubeObject>()
  #listeners = new Set<() => void>()

  /** Resolves once both lists have been read. */
  async start(api: Api, signal: AbortSignal): Promise<void> {
    await Promise.all((['Secret', 'ConfigMap'] as const).map((kind) => new Promise<void>((resolve) => {
      void api.follow(`/api/v1/${kind.toLowerCase()}s`, ({ metadata, ...rest }, gone) => {
        const key = `${kind}/${metadata.namespace}/${metadata.name}`
        if (gone) this.#objects.delete(key)
        else this.#objects.set(key, { metadata, ...rest })
        for (const listener of this.#listeners) listener()
      }, signal, resolve)
    })))
  }

  /** The decoded entries, or undefined where there is no such object. */
  data(kind: 'Secret' | 'ConfigMap', namespace: string, name: string): ReadonlyMap<string, Buffer> | undefined {
    const object = this.#objects.get(`${kind}/${namespace}/${name}`)
    if (!object) return undefined
    const entries = (from: unknown, encoding: BufferEncoding) => Object.entries((from ?? {}) as Record<string, string>)
      .map(([key, text]) => [key, Buffer.from(text, encoding)] as const)
    return kind === 'Secret'
      ? new Map(entries(object.data, 'base64'))
      : new Map([...entries(object.data, 'utf8'), ...entries(object.binaryData, 'base64')])
  }

  /** Calls the listener after each change; the returned function ends that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

import { readFile } from 'node:fs/promises'
import { Document, isMap, parseAllDocuments } from 'yaml'
import { replaceFile } from './files-edit.ts'
import { isApiKey, type KeyManifest, type KeyStore } from './keys.ts'

/** API keys in a file of their own. Comments, order and whatever else is in it stay as they are. */
export function fileKeys(path: string): KeyStore {
  const read = async (): Promise<Document[]> => {
    const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return ''
      throw error
    })
    const parsed = parseAllDocuments(text)
    const documents: Document[] = Array.isArray(parsed) ? [...parsed] : []
    const fault = documents.flatMap(({ errors }) => errors)[0]
    if (fault) throw new Error(`${path}: ${fault.message.split('\n')[0] ?? ''}`)
    return documents.filter(({ contents }) => contents !== null)
  }

  /** Readable by nobody else. */
  const write = async (documents: readonly Document[]): Promise<void> => {
    const text = documents.map((document) => {
      if (document.directives) document.directives.docStart = true
      return document.toString({ lineWidth: 0 })
    }).join('')
    await replaceFile(path, text, 0o600)
  }

  const change = async (name: string, namespace: string, apply: (documents: Document[], at: number) => void): Promise<void> => {
    const documents = await read()
    const at = documents.findIndex((document) => {
      const secret = manifestOf(document)
      return secret?.metadata.name === name && (secret.metadata.namespace ?? 'default') === namespace
    })
    if (at === -1) throw new Error(`${path} has no Secret ${namespace}/${name}`)
    apply(documents, at)
    await write(documents)
  }

  return {
    async list(namespace) {
      return (await read()).flatMap((document) => manifestOf(document) ?? [])
        .filter(({ metadata }) => (metadata.namespace ?? 'default') === namespace)
    },
    async create(secret) {
      await write([...(await read()), new Document(secret)])
    },
    expire: (name, namespace, at) => change(name, namespace, (documents, index) =>
      documents[index]?.setIn(['metadata', 'annotations', 'modelroute.io/expires'], at)),
    remove: (name, namespace) => change(name, namespace, (documents, index) => documents.splice(index, 1)),
  }
}

function manifestOf(document: Document): KeyManifest | undefined {
  const value: unknown = isMap(document.contents) ? document.toJS() : undefined
  return isApiKey(value) ? value : undefined
}

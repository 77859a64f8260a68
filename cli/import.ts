import { readFile } from 'node:fs/promises'
import { text as textOf } from 'node:stream/consumers'
import { routeOf } from '../controller/inferencegraph/route.ts'
import { readPlaced, writeYaml, type Placed } from '../controller/sources/files-graphs.ts'
import { formatField } from '../controller/sources/files-place.ts'
import type { Options } from './flags.ts'

type Output = Readonly<{ stdout: (text: string) => void; stderr: (text: string) => void }>

/** Writes routes that do what the InferenceGraphs of a file do, and a line for whatever they do otherwise. */
export async function importGraphs({ operands: [file = ''], hostname, path }: Options<'import'>, { stdout, stderr }: Output): Promise<number> {
  const { objects, faults } = readPlaced(file === '-' ? await textOf(process.stdin) : await readFile(file, 'utf8'))
  const lines = faults.map(({ line, message }) => `${file}:${line} - - error: ${message}`)
  let failed = faults.length > 0
  const graphs = objects.filter(({ object }) => object['kind'] === 'InferenceGraph')
  if (graphs.length === 0 && !failed) throw new Error(`${file}: there is no InferenceGraph`)
  const routes = graphs.flatMap(({ object, lineOf }) => {
    const { route, told } = routeOf(object, { hostnames: hostname, path }, (namespace, name) => protocolOf(objects, namespace, name))
    failed ||= route === undefined
    for (const { path: at, severity, message } of told) lines.push(`${file}:${lineOf(at)} InferenceGraph/${named(object)} ${formatField(at)} ${severity}: ${message}`)
    return route === undefined ? [] : [route]
  })
  stderr(lines.map((line) => `${plain(line)}\n`).join(''))
  if (routes.length > 0) stdout(writeYaml(routes))
  return failed ? 1 : 0
}

type Metadata = Readonly<{ name?: unknown; namespace?: unknown }>
const metadataOf = ({ metadata }: Placed['object']): Metadata => (typeof metadata === 'object' && metadata !== null ? metadata : {})

function named(object: Placed['object']): string {
  const { name, namespace } = metadataOf(object)
  return `${typeof namespace === 'string' ? namespace : 'default'}/${typeof name === 'string' ? name : ''}`
}

/** What an InferenceService of the same file says that it speaks. */
function protocolOf(objects: readonly Placed[], namespace: string, name: string): 'V1' | 'V2' | undefined {
  const found = objects.find(({ object }) => object['kind'] === 'InferenceService' && named(object) === `${namespace}/${name}`)
  if (found === undefined) return undefined
  return /"protocolVersion":"(?:grpc-)?v2"/.test(JSON.stringify(found.object)) ? 'V2' : 'V1'
}

/** One line, and nothing that a terminal would obey. */
// oxlint-disable-next-line no-control-regex
const plain = (text: string) => text.replaceAll(/[\0-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]+/g, ' ')

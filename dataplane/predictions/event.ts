import { isUtf8 } from 'node:buffer'

/** What a CloudEvent says beside its body: text, whole numbers and truth values. Names have lower case letters and digits only. */
export type Attributes = Readonly<Record<string, string | number | boolean | undefined>>

/**
 * One CloudEvent 1.0, as the logger of KServe's agent makes them (kserve/kserve, pkg/logger/worker.go): the same types and
 * the attributes inferenceservicename, namespace, component, endpoint, metadata and recordedtime; and some of our own.
 */
export type PredictionEvent = Readonly<{
  attributes: Attributes
  contentType: string | undefined
  data: Buffer | undefined
  /** `data` is JSON in UTF-8. */
  json: boolean
}>

/** A line of JSON (CloudEvents, JSON format, structured mode): JSON as it is, text as text, and what is neither in base64. */
export function lineOf({ attributes, contentType, data, json }: PredictionEvent): string {
  const head = JSON.stringify({ specversion: '1.0', ...attributes, ...(data && contentType !== undefined && { datacontenttype: contentType }) })
  if (data === undefined) return `${head}\n`
  return `${head.slice(0, -1)},${dataMember(data, json && isJsonType(contentType), contentType)}}\n`
}

function dataMember(data: Buffer, json: boolean, contentType: string | undefined): string {
  // In JSON a line can only end between its tokens.
  if (json) return `"data":${data.includes(0x0a) || data.includes(0x0d) ? data.toString().replaceAll(/[\r\n]/g, ' ') : data.toString()}`
  if (contentType?.startsWith('text/') === true && isUtf8(data)) return `"data":${JSON.stringify(data.toString())}`
  return `"data_base64":"${data.toString('base64')}"`
}

/** Readers take `data` for JSON by the content type alone: so nothing else may stand there, and JSON of another type is none. */
const isJsonType = (type: string | undefined) => type === undefined || /^(?:application|text)\/(?:[\w.-]+\+)?json\b/i.test(type)

/** Headers of a request that carries the event as its body (CloudEvents, HTTP protocol binding, binary mode). */
export function headersOf({ attributes, contentType, data }: PredictionEvent): Readonly<Record<string, string>> {
  const headers: Record<string, string> = { 'ce-specversion': '1.0' }
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined) headers[`ce-${name}`] = encoded(String(value))
  if (data !== undefined && contentType !== undefined) headers['content-type'] = contentType
  return headers
}

/** Section 3.1.3.2: what is no printable ASCII, a space, a quote and a percent sign go by their bytes. */
function encoded(text: string): string {
  return text.replaceAll(/[^\x21\x23\x24\x26-\x7e]/gu, (character) =>
    [...Buffer.from(character)].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''))
}

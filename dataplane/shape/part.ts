import { valueOf, type FlatHeaders } from '../pipeline/headers.ts'

/** The JSON of a body, and the bytes of tensors after it (Triton's binary data extension). */
export type Part = Readonly<{ json: Buffer; rest: Buffer | undefined }>

const HEADER = 'inference-header-content-length'

/** Undefined: it says that it has JSON before its tensors, and has not. `0` is a tensor alone, without JSON. */
export function partOf(headers: Readonly<FlatHeaders>, body: Buffer): Part | undefined {
  const length = valueOf(headers, HEADER)
  if (length === undefined) return { json: body, rest: undefined }
  const end = Number(length)
  return /^\d{1,12}$/.test(length) && end > 0 && end <= body.length ? { json: body.subarray(0, end), rest: body.subarray(end) } : undefined
}

/** The body with other JSON, and the header that says where it ends. Undefined: what comes after it would be taken for other tensors. */
export function joined({ json, rest }: Part, changed: Buffer, headers: FlatHeaders): Buffer | undefined {
  if (rest === undefined || changed === json) return rest === undefined ? changed : Buffer.concat([changed, rest])
  if (sizesIn(json) !== sizesIn(changed)) return undefined
  for (let i = 0; i < headers.length; i += 2) if (headers[i] === HEADER) headers[i + 1] = String(changed.length)
  return Buffer.concat([changed, rest])
}

/** How many bytes each tensor has after the JSON, in their order. */
function sizesIn(json: Buffer): string {
  const sizes: unknown[] = []
  try {
    const value: unknown = JSON.parse(json.toString())
    if (typeof value !== 'object' || value === null) return ''
    for (const name of ['inputs', 'outputs']) {
      const tensors: unknown = Object.hasOwn(value, name) ? Reflect.get(value, name) : []
      if (!Array.isArray(tensors)) continue
      for (const tensor of tensors as readonly { parameters?: { binary_data_size?: unknown } }[]) sizes.push([name, tensor?.parameters?.binary_data_size])
    }
  } catch {
    return ''
  }
  return JSON.stringify(sizes)
}

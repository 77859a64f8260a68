import { isUtf8 } from 'node:buffer'

const BACKSLASH = 0x5c

/** What stands between the quotes of a JSON string; undefined where that is none. `cut`: it is the beginning of a longer one. */
export function textOf(bytes: Buffer, cut: boolean): string | undefined {
  const whole = cut ? beginningOf(bytes) : bytes
  if (!isUtf8(whole)) return undefined
  try {
    const text: unknown = JSON.parse(`"${whole.toString()}"`)
    return typeof text === 'string' ? text : undefined
  } catch {
    return undefined
  }
}

/** Without the character or the escape that it breaks off in. */
function beginningOf(bytes: Buffer): Buffer {
  let end = bytes.length
  const slash = bytes.lastIndexOf(BACKSLASH)
  let slashes = 0
  while (bytes[slash - slashes] === BACKSLASH) slashes++
  if (slash >= end - 6 && slashes % 2 === 1) end = slash
  for (let i = 0; i < 4 && !isUtf8(bytes.subarray(0, end)); i++) end--
  return bytes.subarray(0, end)
}

/** The model that a request names in its path, decoded, and where in the path its name and version stand. */
export type NamedModel = Readonly<{
  protocol: 'V1' | 'V2'
  name: string
  version?: string
  /** The path after the name and the version: `/infer`, `:predict`, or nothing. */
  rest: string
}>

/** A path element's text; undefined when its escapes are not UTF-8. */
export function decodeElement(element: string): string | undefined {
  try {
    return decodeURIComponent(element)
  } catch {
    return undefined
  }
}

/** A text as one path element. A colon in a model's name is common (`llama3:8b`) and legal there. */
export function encodeElement(text: string): string {
  return encodeURIComponent(text).replaceAll('%3A', ':')
}

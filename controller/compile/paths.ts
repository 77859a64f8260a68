/** A path as it is compared, or why it can match no request. */
export type Path = Readonly<{ path: string } | { fault: string }>

/** Nothing to normalise and nothing to refuse: nearly every path there is. */
const plain = /^(?:\/(?!\.)[A-Za-z0-9\-._~!$&'()*+,;=:@]+)+$/
const unreserved = /^[A-Za-z0-9\-._~]$/

/**
 * The one spelling of a path (RFC 3986 section 6.2.2): escapes of unreserved characters decoded, other escapes in
 * upper case, escaped what cannot stand in a path bare. What a request can never look like after that is a fault.
 */
export function normalisePath(value: string): Path {
  if (plain.test(value)) return { path: value }
  if (!value.startsWith('/')) return { fault: 'a path starts with /' }
  if (/[?#]/.test(value)) return { fault: 'a path has no query and no fragment; use queryParams' }
  // oxlint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f\\]/.test(value) || !value.isWellFormed()) {
    return { fault: 'a path has no control characters and no backslashes' }
  }
  if (/%(?![0-9A-Fa-f]{2})/.test(value)) return { fault: 'a % in a path is followed by two hexadecimal digits' }
  if (/%00/.test(value)) return { fault: 'a path has no zero byte' }
  const path = value
    .replace(/%[0-9A-Fa-f]{2}/g, (escape) => {
      const character = String.fromCharCode(Number.parseInt(escape.slice(1), 16))
      return unreserved.test(character) ? character : escape.toUpperCase()
    })
    .replace(/[ "<>^`{|}\u0080-\u{10ffff}]/gu, (character) => encodeURIComponent(character))
  if (path.includes('//')) return { fault: 'a path has no empty elements (//)' }
  if (/\/\.{1,2}(?:\/|$)/.test(path)) return { fault: 'a path has no . and .. elements' }
  if (/\/(?:[^/]*%(?:2F|5C))?\.{1,2}%(?:2F|5C)|%(?:2F|5C)\.{1,2}(?:\/|%(?:2F|5C)|$)/.test(path)) {
    return { fault: 'a path has no . and .. elements behind escaped slashes' }
  }
  return { path }
}

/** A prefix is compared element by element, so `/v1/` says no more than `/v1`. */
export function withoutTrailingSlash(path: string): string {
  return path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path
}

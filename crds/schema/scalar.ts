import { int, str } from './node.ts'
import type { IntegerNode, StringNode } from './node.ts'

/** The scalars that recur. Patterns are RE2 and JavaScript alike, and linear in both. */

const labelPattern = '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$'
const subdomainPattern = '^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'

/** DNS-1123 label (RFC 1123): the form of rule, variant, step and namespace names. */
export function label(description: string): StringNode {
  return str(description, {
    min: 1,
    max: 63,
    pattern: labelPattern,
    expects: 'lower case letters, digits and "-", beginning and ending with a letter or digit',
  })
}

/** DNS-1123 subdomain: the form of Kubernetes object names. */
export function objectName(description: string): StringNode {
  return str(description, {
    min: 1,
    max: 253,
    pattern: subdomainPattern,
    expects: 'lower case letters, digits, "-" and ".", beginning and ending with a letter or digit',
  })
}

export function hostname(description: string): StringNode {
  return str(description, {
    min: 1,
    max: 253,
    pattern: `^(\\*\\.)?${subdomainPattern.slice(1)}`,
    expects: 'a lower case host name without a port, such as models.example.com or *.example.com',
  })
}

/** A token of RFC 9110 section 5.6.2. */
export function headerName(description: string): StringNode {
  return str(description, {
    min: 1,
    max: 128,
    pattern: "^[A-Za-z0-9!#$%&'*+\\-.^_`|~]+$",
    expects: 'a header name: letters, digits and -_.!#$%&\'*+^`|~',
  })
}

/** No control character but tab (RFC 9110 section 5.5): a line break would let a value begin a header of its own. */
export function headerValue(description: string): StringNode {
  return str(description, {
    max: 4096,
    pattern: '^[^\\x00-\\x08\\x0a-\\x1f\\x7f]*$',
    expects: 'text without control characters',
  })
}

/** Gateway API duration (GEP-2257): at most four parts of at most five digits each. */
export const durationPattern = '^([0-9]{1,5}(h|m|s|ms)){1,4}$'

const durationForm = { max: 24, pattern: durationPattern, expects: 'a duration such as 250ms, 30s or 1h30m' }

export function duration(description: string): StringNode {
  return str(description, durationForm)
}

/** A duration of nothing makes no sense here: a timer of it would spin, a window of it would divide by zero. */
export function positiveDuration(description: string): StringNode {
  return str(description, {
    ...durationForm,
    rules: [{ rule: "duration(self) > duration('0s')", message: 'must be longer than 0s' }],
  })
}

/** JSON Pointer (RFC 6901). */
export function pointer(description: string): StringNode {
  return str(description, {
    max: 512,
    pattern: '^(/([^~/]|~[01])*)*$',
    expects: 'a JSON Pointer such as /parameters/region (~0 stands for ~, ~1 for /)',
  })
}

/** Only its length is checked here: the compiler parses it and says where it is wrong. */
export function cel(description: string): StringNode {
  return str(description, { min: 1, max: 2048 })
}

/** The API has no floats: they do not survive every client's JSON unchanged. */
export function decimal(description: string): StringNode {
  return str(description, {
    max: 32,
    pattern: '^[0-9]{1,12}(\\.[0-9]{1,12})?(e-?[0-9]{1,2})?$',
    expects: 'a decimal number in quotes, such as "0.01" or "1e-6"',
  })
}

export function url(description: string): StringNode {
  return str(description, {
    max: 1024,
    pattern: '^https?://[^/?# \\t\\r\\n]+([/?][^# \\t\\r\\n]*)?$',
    expects: 'an absolute http:// or https:// URL without a fragment',
  })
}

/** One endpoint of many is told apart by its path, so the address of a server has no query. */
export function origin(description: string): StringNode {
  return str(description, {
    max: 1024,
    pattern: '^https?://[^/?#@ \\t\\r\\n]+(/[^?# \\t\\r\\n]*)?$',
    expects: 'an http:// or https:// URL without user, query or fragment',
  })
}

/** As requests have it in normal form. */
export function requestPath(description: string): StringNode {
  return str(description, {
    max: 1024,
    pattern: "^/([A-Za-z0-9!$&'()*+,;=:@._~/-]|%[0-9A-Fa-f]{2})*$",
    expects: 'a path such as /clean, without query',
  })
}

export function percent(description: string, min = 0): IntegerNode {
  return int(description, min, 100)
}

export const MAX_INT32 = 2_147_483_647

/** Bytes with a suffix, as resource quantities have it; whole and above nothing. */
export const sizePattern = '^[1-9][0-9]{0,14}(k|M|G|Ki|Mi|Gi)?$'

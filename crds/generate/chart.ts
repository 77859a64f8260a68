/**
 * A CRD as a template of the chart. Helm never upgrades what is in a chart's crds/ folder, so it is a template; and it
 * is kept when the chart goes unless told otherwise, because the routes of the cluster would go with it. It carries the
 * labels of the chart's other objects beside its own.
 */
export function chartTemplate(manifest: string): string {
  const escaped = manifest.replace(/\{\{|\}\}/g, (braces) => `{{ "${braces}" }}`)
  const [head, rest] = splitAfter(escaped, /^ {2}name: .*\n/m)
  const own = /^ {2}labels:\n(?: {4}.*\n)+/.exec(rest)?.[0] ?? '  labels:\n'
  const tail = rest.startsWith(own) ? rest.slice(own.length) : rest
  return [
    '{{- if .Values.crds.enabled }}\n',
    head,
    '  {{- if .Values.crds.keep }}\n',
    '  annotations:\n',
    '    helm.sh/resource-policy: keep\n',
    '  {{- end }}\n',
    own,
    '    {{- include "modelroute.selector" . | nindent 4 }}\n',
    '    {{- include "modelroute.labels" . | nindent 4 }}\n',
    tail,
    '{{- end }}\n',
  ].join('')
}

function splitAfter(text: string, pattern: RegExp): [string, string] {
  const found = pattern.exec(text)
  if (found === null) throw new Error('the manifest has no metadata.name')
  const at = found.index + found[0].length
  return [text.slice(0, at), text.slice(at)]
}

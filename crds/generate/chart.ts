/**
 * A CRD as a template of the chart. Helm never upgrades what is in a chart's crds/ folder, so it is a template; and it
 * is kept when the chart goes unless told otherwise, because the routes of the cluster would go with it.
 */
export function chartTemplate(manifest: string): string {
  const escaped = manifest.replace(/\{\{|\}\}/g, (braces) => `{{ "${braces}" }}`)
  const [head, tail] = splitAfter(escaped, /^ {2}name: .*\n/m)
  return [
    '{{- if .Values.crds.enabled }}\n',
    head,
    '  {{- if .Values.crds.keep }}\n',
    '  annotations:\n',
    '    helm.sh/resource-policy: keep\n',
    '  {{- end }}\n',
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

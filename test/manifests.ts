/** A Service of port 8000 and the slice that says where it is: on this machine. For templates of YAML; no line ends it. */
export function serviceAt(name: string, port: number | string, namespace = 'default'): string {
  return `apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: ${namespace}}
spec: {ports: [{port: 8000}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ${name}, namespace: ${namespace}, labels: {kubernetes.io/service-name: ${name}}}
addressType: IPv4
ports: [{port: ${port}}]
endpoints: [{addresses: [127.0.0.1]}]`
}

/** The port of a URL, or of an address with a port. */
export const portOf = (address: string): string => address.slice(address.lastIndexOf(':') + 1)

export type To = Readonly<{
  /** In YAML, as all of these. */
  matches: string
  protocol?: string
  /** What the server calls it. */
  model?: string
  /** More members of the rule, a line each. */
  more?: readonly string[]
}>

/** A model server on this machine with a route of one rule: a document that others can follow. */
export function routeTo(name: string, port: number | string, { matches, protocol = 'Passthrough', model, more = [] }: To): string {
  return `${serviceAt(name, port)}
---
apiVersion: modelroute.io/v1alpha1
kind: ModelRoute
metadata: {name: ${name}}
spec:
  rules:
  - name: all
    matches: [${matches}]
    backendRefs: [{variant: only, name: ${name}, port: 8000, protocol: ${protocol}${model === undefined ? '' : `, model: {name: ${model}}`}}]
${more.map((line) => `    ${line}\n`).join('')}---
`
}

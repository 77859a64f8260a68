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

// Package cluster runs a Kubernetes control plane and the injector as processes on this machine, for
// tests and make cluster: etcd, kube-apiserver and kube-controller-manager. There is no kubelet, so pods
// are stored and never run.
//
// The control plane and Services use loopback addresses. The injector listens on all addresses, as in a
// cluster. All files are in one directory. The processes end with the process that started them.
package cluster

// Package cluster runs a Kubernetes control plane and the injector as processes of this
// machine, for tests and for trying things out: etcd, kube-apiserver and
// kube-controller-manager, without a kubelet, so that pods are stored and never run.
//
// The control plane listens on loopback, and Services have their addresses there. The injector
// listens on all addresses, as it does in a cluster. Files are kept below one directory. Processes
// die with the one that started them.
package cluster

package conf

// Sidecar is one definition with all that it inherits, encoded once so that a review only
// copies bytes. It is immutable and safe for concurrent use.
type Sidecar struct {
	Ref    Ref
	Origin Origin
	// Digest is the SHA-256 of the definition's content in lower-case hex. It does not
	// depend on the origin, on key order or on formatting.
	Digest string
	// Stale tells that the origin has changed since to something that was rejected.
	Stale bool
	// Level is how much power over the node the definition needs.
	Level Level

	InitContainers     []Container
	Containers         []Container
	Volumes            []Element
	VolumeMounts       []Mount
	Env                []Element
	EnvFiles           []EnvFile // those of Env that are read from a volume
	HostAliases        [][]byte  // JSON
	HostNetwork        bool
	HostPID            bool
	ServiceAccountName string // empty: the pod keeps its own
}

// Element is one named element of a list with its JSON.
type Element struct {
	Name string
	JSON []byte
}

// EnvFile is a variable that is read from a file of a volume (KEP-3721).
type EnvFile struct {
	Name   string // of the variable
	Volume string
}

// Mount is an element of volumeMounts. Path is its mountPath as written.
type Mount struct {
	Element
	Path string
}

// Container is a container apart from what merging adds to: JSON is the object without
// env and volumeMounts, which stand beside it. The object is never empty.
type Container struct {
	Element
	Env          []Element
	VolumeMounts []Mount
	Devices      []Device
	Ports        []Port
	Demands      Demands
}

// Device is a block device of a container: its volume and devicePath. No mount of the same
// container may have either.
type Device struct {
	Name string `json:"name"`
	Path string `json:"devicePath"`
}

// Port is a container port as far as it can collide on the node. HostPort is 0 and Protocol
// is empty where the author gave none.
type Port struct {
	ContainerPort int32  `json:"containerPort"`
	HostPort      int32  `json:"hostPort"`
	Protocol      string `json:"protocol"`
	HostIP        string `json:"hostIP"`
}

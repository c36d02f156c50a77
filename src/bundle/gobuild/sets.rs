//! The Go modules the lab's binaries are built from, pinned by checksum: made by `gomod/refresh.sh`.

/// A main module of ours that requires one project, with the checksum of everything it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModuleSet {
    /// `kubernetes-v1.37.1`.
    pub name: &'static str,
    /// File names and contents.
    pub files: &'static [(&'static str, &'static str)],
}

macro_rules! module_set {
    ($name:literal $(, $file:literal)*) => {
        ModuleSet {
            name: $name,
            files: &[
                ("go.mod", include_str!(concat!("../gomod/", $name, "/go.mod"))),
                ("go.sum", include_str!(concat!("../gomod/", $name, "/go.sum"))),
                ("tools.go", include_str!(concat!("../gomod/", $name, "/tools.go"))),
                $(($file, include_str!(concat!("../gomod/", $file))),)*
            ],
        }
    };
}

/// Every set there is.
pub const SETS: &[ModuleSet] = &[
    module_set!("containerd-v2.3.3"),
    module_set!("coredns-v1.12.1", "coredns/main.go"),
    module_set!("coredns-v1.13.1", "coredns/main.go"),
    module_set!("coredns-v1.14.2", "coredns/main.go"),
    module_set!("coredns-v1.14.6", "coredns/main.go"),
    module_set!("crictl-v1.36.0"),
    module_set!("etcd-v3.5.35"),
    module_set!("etcd-v3.6.5"),
    module_set!("etcd-v3.6.6"),
    module_set!("etcd-v3.6.8"),
    module_set!("etcd-v3.7.0"),
    module_set!("kubernetes-v1.34.4"),
    module_set!("kubernetes-v1.35.4"),
    module_set!("kubernetes-v1.36.4"),
    module_set!("kubernetes-v1.37.1"),
    // There is no Go module of pause, so this one is ours.
    ModuleSet {
        name: "pause",
        files: &[
            ("go.mod", include_str!("../gomod/pause/go.mod")),
            ("main.go", include_str!("../gomod/pause/main.go")),
        ],
    },
];

/// The set of this name.
pub fn module_set(name: &str) -> Option<&'static ModuleSet> {
    SETS.iter().find(|set| set.name == name)
}

/// The versions of `project` there are sets for, as one text.
pub fn known_versions(project: &str) -> String {
    let prefix = format!("{project}-");
    SETS.iter().filter_map(|set| set.name.strip_prefix(&prefix)).collect::<Vec<_>>().join(", ")
}

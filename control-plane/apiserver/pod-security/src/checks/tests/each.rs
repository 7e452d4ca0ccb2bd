//! Each check by itself: what it lets through, what it says, since when.

use super::*;

#[test]
fn the_node_is_out_of_reach() {
    pass("hostNamespaces", 0, json!({"hostPID": false, "hostNetwork": null}));
    let all = json!({"hostPID": true, "hostNetwork": true, "hostIPC": true});
    expect("hostNamespaces", 0, all, "host namespaces (hostIPC, hostNetwork, hostPID)");

    let volumes = json!({"volumes": [{"name": "a", "hostPath": {}}, {"name": "b", "emptyDir": {}}, {"name": "c", "hostPath": {}}]});
    expect("hostPathVolumes", 0, volumes, "hostPath volumes (volumes \"a\", \"c\")");
    expect(
        "hostPathVolumes",
        0,
        json!({"volumes": [{"name": "a", "hostPath": {}}]}),
        "hostPath volumes (volume \"a\")",
    );
    pass("hostPathVolumes", 0, json!({"volumes": [{"name": "a", "hostPath": null}]}));

    let port = |name: &str, port: i64| json!({"name": name, "ports": [{"hostPort": port}, {"hostPort": 0}, {}]});
    let ports = json!({"initContainers": [port("i", 20)], "containers": [port("a", 100), port("b", 0)]});
    expect("hostPorts", 0, ports, "hostPort (containers \"i\", \"a\" use hostPorts 100, 20)");
    expect("hostPorts", 0, json!({"containers": [port("a", 1)]}), "hostPort (container \"a\" uses hostPort 1)");
    expect(
        "hostPorts",
        0,
        json!({"ephemeralContainers": [port("a", 1), port("b", 1)]}),
        "hostPort (containers \"a\", \"b\" use hostPort 1)",
    );
}

#[test]
fn probes_and_hooks_stay_with_their_pod() {
    let check = "hostProbesAndHostLifecycle";
    let http = |host: &str| json!({"httpGet": {"host": host, "port": 80}});
    let tcp = |host: &str| json!({"tcpSocket": {"host": host, "port": 80}});
    let one = json!({"containers": [{"name": "a", "livenessProbe": http("h")}]});
    pass(check, 33, one.clone());
    expect(check, 34, one, "probe or lifecycle host (container \"a\" uses probe or lifecycle host \"h\")");
    pass(check, 34, json!({"containers": [{"name": "a", "livenessProbe": http(""), "startupProbe": {"exec": {}}}]}));
    let many = json!({
        "containers": [
            {"name": "z", "readinessProbe": tcp("2"), "lifecycle": {"postStart": http("1")}},
            {"name": "b", "startupProbe": http("1")},
        ],
        "initContainers": [{"name": "i", "lifecycle": {"preStop": tcp("3")}}],
    });
    expect(
        check,
        37,
        many,
        "probe or lifecycle host (containers \"b\", \"i\", \"z\" use probe or lifecycle hosts \"1\", \"2\", \"3\")",
    );
}

#[test]
fn windows_has_its_own_rules() {
    let hostile = json!({"windowsOptions": {"hostProcess": true}});
    let mut spec = with(hostile.clone(), json!({"windowsOptions": {"hostProcess": false}}));
    expect(
        "windowsHostProcess",
        0,
        spec.clone(),
        "hostProcess (container \"a\" must not set securityContext.windowsOptions.hostProcess=true)",
    );
    spec["securityContext"] = hostile;
    expect(
        "windowsHostProcess",
        0,
        spec,
        "hostProcess (pod and container \"a\" must not set securityContext.windowsOptions.hostProcess=true)",
    );
    for check in ["allowPrivilegeEscalation", "capabilities_restricted", "seccompProfile_restricted"] {
        let windows = json!({"os": {"name": "windows"}, "containers": [{"name": "a"}]});
        assert!(says(check, 24, windows.clone()).is_some(), "{check}");
        pass(check, 25, windows);
        assert!(says(check, 25, json!({"os": {"name": "linux"}, "containers": [{"name": "a"}]})).is_some(), "{check}");
    }
}

#[test]
fn capabilities_are_counted() {
    let add = |list: Value| json!({"capabilities": {"add": list}});
    pass("capabilities_baseline", 0, with(add(json!(["CHOWN", "SYS_CHROOT"])), add(json!(null))));
    expect(
        "capabilities_baseline",
        0,
        with(add(json!(["NET_RAW", "CHOWN"])), add(json!(["SYS_TIME", "NET_RAW"]))),
        "non-default capabilities (containers \"a\", \"b\" must not include \"NET_RAW\", \"SYS_TIME\" in \
         securityContext.capabilities.add)",
    );
    let drop = |drop: Value, add: Value| json!({"capabilities": {"drop": drop, "add": add}});
    pass(
        "capabilities_restricted",
        22,
        with(drop(json!(["ALL"]), json!(["NET_BIND_SERVICE"])), drop(json!(["X", "ALL"]), json!([]))),
    );
    expect(
        "capabilities_restricted",
        22,
        with(drop(json!(["all"]), json!(["CHOWN"])), json!({})),
        "unrestricted capabilities (containers \"a\", \"b\" must set securityContext.capabilities.drop=[\"ALL\"]; \
         container \"a\" must not include \"CHOWN\" in securityContext.capabilities.add)",
    );
}

#[test]
fn privileges_are_not_gained() {
    expect(
        "privileged",
        0,
        with(json!({"privileged": true}), json!({"privileged": false})),
        "privileged (container \"a\" must not set securityContext.privileged=true)",
    );
    assert_eq!(says("allowPrivilegeEscalation", 7, with(json!({}), json!({}))), None);
    expect(
        "allowPrivilegeEscalation",
        8,
        with(json!({"allowPrivilegeEscalation": true}), json!(null)),
        "allowPrivilegeEscalation != false (containers \"a\", \"b\" must set securityContext.allowPrivilegeEscalation=false)",
    );
    pass(
        "allowPrivilegeEscalation",
        8,
        with(json!({"allowPrivilegeEscalation": false}), json!({"allowPrivilegeEscalation": false})),
    );
}

#[test]
fn nobody_is_root() {
    let says_no = "runAsNonRoot != true";
    for (pod, first, second, expected) in [
        (json!(null), json!(true), json!(true), None),
        (json!(true), json!(null), json!(true), None),
        (
            json!(null),
            json!(null),
            json!(true),
            Some("pod or container \"a\" must set securityContext.runAsNonRoot=true"),
        ),
        (
            json!(null),
            json!(null),
            json!(null),
            Some("pod or containers \"a\", \"b\" must set securityContext.runAsNonRoot=true"),
        ),
        (
            json!(true),
            json!(false),
            json!(true),
            Some("container \"a\" must not set securityContext.runAsNonRoot=false"),
        ),
        (json!(false), json!(true), json!(true), Some("pod must not set securityContext.runAsNonRoot=false")),
        (
            json!(false),
            json!(false),
            json!(false),
            Some("pod and containers \"a\", \"b\" must not set securityContext.runAsNonRoot=false"),
        ),
    ] {
        let mut spec = with(json!({"runAsNonRoot": first}), json!({"runAsNonRoot": second}));
        spec["securityContext"] = json!({"runAsNonRoot": pod});
        let expected = expected.map(|text| format!("{says_no} ({text})"));
        assert_eq!(says("runAsNonRoot", 34, spec.clone()), expected, "{spec}");
        assert_eq!(says("runAsNonRoot", 35, spec.clone()), expected, "{spec}");
        spec["hostUsers"] = json!(false);
        assert_eq!(says("runAsNonRoot", 34, spec.clone()), expected, "{spec}");
        pass("runAsNonRoot", 35, spec);
    }
    let mut spec = with(json!({"runAsUser": 0}), json!({"runAsUser": 1}));
    pass("runAsUser", 22, spec.clone());
    expect("runAsUser", 23, spec.clone(), "runAsUser=0 (container \"a\" must not set runAsUser=0)");
    spec["securityContext"] = json!({"runAsUser": 0});
    expect("runAsUser", 35, spec.clone(), "runAsUser=0 (pod and container \"a\" must not set runAsUser=0)");
    spec["hostUsers"] = json!(false);
    assert!(says("runAsUser", 34, spec.clone()).is_some());
    pass("runAsUser", 35, spec);
}

#[test]
fn volumes_belong_to_the_cluster() {
    let volume = |name: &str, kind: &str| json!({"name": name, kind: {}});
    for kind in [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ] {
        pass("restrictedVolumes", 0, json!({"volumes": [volume("v", kind)]}));
    }
    for kind in
        ["hostPath", "nfs", "iscsi", "gitRepo", "cephfs", "storageos", "scaleIO", "photonPersistentDisk", "flexVolume"]
    {
        let expected = format!("restricted volume types (volume \"v\" uses restricted volume type \"{kind}\")");
        expect("restrictedVolumes", 0, json!({"volumes": [volume("v", kind)]}), &expected);
    }
    expect(
        "restrictedVolumes",
        37,
        json!({"volumes": [volume("z", "nfs"), volume("a", "hostPath"), volume("s", "secret"), volume("n", "new"), volume("y", "nfs")]}),
        "restricted volume types (volumes \"z\", \"a\", \"n\", \"y\" use restricted volume types \"hostPath\", \"nfs\", \"unknown\")",
    );
}

#[test]
fn app_armor_confines() {
    let key = "container.apparmor.security.beta.kubernetes.io/";
    let profile = |kind: &str| json!({"appArmorProfile": {"type": kind}});
    for value in ["", "runtime/default", "localhost/x"] {
        let pod = json!({"metadata": {"annotations": {format!("{key}a"): value}}, "spec": with(profile("Localhost"), profile("RuntimeDefault"))});
        assert_eq!(says_of("appArmorProfile", 0, &pod), None, "{value}");
    }
    expect(
        "appArmorProfile",
        0,
        with(profile("Unconfined"), json!({})),
        "forbidden AppArmor profile (container \"a\" must not set AppArmor profile type to \"Unconfined\")",
    );
    let mut spec = with(profile("Unconfined"), profile("X"));
    spec["securityContext"] = profile("Unconfined");
    let annotations = json!({format!("{key}b"): "unconfined", format!("{key}a"): "bogus", "other": "unconfined"});
    let pod = json!({"metadata": {"annotations": annotations}, "spec": spec});
    assert_eq!(
        says_of("appArmorProfile", 37, &pod).as_deref(),
        Some(
            "forbidden AppArmor profiles (pod and containers \"a\", \"b\" and annotations must not set AppArmor profile type \
             to \"Unconfined\", \"X\", \"container.apparmor.security.beta.kubernetes.io/a=\"bogus\"\", \
             \"container.apparmor.security.beta.kubernetes.io/b=\"unconfined\"\")"
        )
    );
}

#[test]
fn proc_is_masked_but_for_pods_with_their_own_users() {
    let mut spec = with(json!({"procMount": "Unmasked"}), json!({"procMount": "Default"}));
    let expected = "procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\")";
    for minor in [0, 35] {
        expect("procMount", minor, spec.clone(), expected);
    }
    expect("procMount_restricted", 35, spec.clone(), expected);
    spec["hostUsers"] = json!(false);
    expect("procMount", 34, spec.clone(), expected);
    pass("procMount", 35, spec.clone());
    expect("procMount_restricted", 35, spec, expected);
}

#[test]
fn se_linux_labels_are_those_of_containers() {
    let options = |options: Value| json!({"seLinuxOptions": options});
    pass("seLinuxOptions", 0, with(options(json!({"type": "container_t", "level": "s0"})), options(json!({}))));
    let engine = with(options(json!({"type": "container_engine_t"})), json!({}));
    expect(
        "seLinuxOptions",
        30,
        engine.clone(),
        "seLinuxOptions (container \"a\" set forbidden securityContext.seLinuxOptions: type \"container_engine_t\")",
    );
    pass("seLinuxOptions", 31, engine);
    let mut spec = with(options(json!({"type": "b", "user": "u"})), options(json!({"role": "r", "type": "a"})));
    spec["securityContext"] = options(json!({"user": "x"}));
    expect(
        "seLinuxOptions",
        37,
        spec,
        "seLinuxOptions (pod and containers \"a\", \"b\" set forbidden securityContext.seLinuxOptions: types \"a\", \"b\"; \
         user may not be set; role may not be set)",
    );
}

#[test]
fn seccomp_is_on() {
    let pod = json!({
        "metadata": {"annotations": {
            "seccomp.security.alpha.kubernetes.io/pod": "unconfined",
            "container.seccomp.security.alpha.kubernetes.io/a": "docker/default",
            "container.seccomp.security.alpha.kubernetes.io/b": "x",
            "container.seccomp.security.alpha.kubernetes.io/none": "x",
        }},
        "spec": with(json!({}), json!({})),
    });
    assert_eq!(
        says_of("seccompProfile_baseline", 18, &pod).as_deref(),
        Some(
            "seccompProfile (forbidden annotations container.seccomp.security.alpha.kubernetes.io/b=\"x\", \
             seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")"
        )
    );
    assert_eq!(says_of("seccompProfile_baseline", 19, &pod), None);

    let profile = |kind: &str| json!({"seccompProfile": {"type": kind}});
    let mut spec = with(profile("Unconfined"), profile("Localhost"));
    let told = "seccompProfile (container \"a\" must not set securityContext.seccompProfile.type to \"Unconfined\")";
    expect("seccompProfile_baseline", 19, spec.clone(), told);
    expect("seccompProfile_restricted", 19, spec.clone(), told);
    spec["securityContext"] = profile("");
    expect(
        "seccompProfile_baseline",
        37,
        spec,
        "seccompProfile (pod and container \"a\" must not set securityContext.seccompProfile.type to \"\", \"Unconfined\")",
    );
    let mut spec = with(json!({}), profile("RuntimeDefault"));
    pass("seccompProfile_baseline", 19, spec.clone());
    expect(
        "seccompProfile_restricted",
        19,
        spec.clone(),
        "seccompProfile (pod or container \"a\" must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")",
    );
    spec["securityContext"] = profile("Localhost");
    pass("seccompProfile_restricted", 19, spec);
}

#[test]
fn kernel_parameters_became_safe_one_after_another() {
    for (name, since) in [
        ("kernel.shm_rmid_forced", 0),
        ("net.ipv4.ip_local_reserved_ports", 27),
        ("net.ipv4.tcp_keepalive_time", 29),
        ("net.ipv4.tcp_fin_timeout", 29),
        ("net.ipv4.tcp_rmem", 32),
        ("net.ipv4.tcp_slow_start_after_idle", 37),
    ] {
        let spec = json!({"securityContext": {"sysctls": [{"name": name, "value": "1"}]}});
        for minor in 0..=NEWEST {
            assert_eq!(says("sysctls", minor, spec.clone()).is_none(), minor >= since, "{name} in v1.{minor}");
        }
    }
    let spec = json!({"securityContext": {"sysctls": [{"name": "kernel.msgmax"}, {"name": "net.ipv4.tcp_wmem"}, {"name": "a"}]}});
    expect("sysctls", 37, spec, "forbidden sysctls (kernel.msgmax, a)");
}

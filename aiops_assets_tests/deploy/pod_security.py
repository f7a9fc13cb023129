"""The Pod Security Standard "restricted", rule by rule.

Source: Kubernetes documentation, "Pod Security Standards".
"""

from typing import Any

VOLUME_TYPES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"),
}
CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
SECCOMP = ("RuntimeDefault", "Localhost")
SELINUX_TYPES = (None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def restricted_problems(spec: dict[str, Any]) -> list[str]:
    """Why a pod would be refused where ``restricted`` is enforced; empty: it is not."""
    found = [f"{key} is set" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    for volume in spec.get("volumes", ()):
        found += [f"volume {volume['name']} is a {kind}" for kind in set(volume) - {"name"} - VOLUME_TYPES]
    pod = spec.get("securityContext", {})
    if pod.get("sysctls"):
        found.append("sysctls are set")
    for container in (one for key in CONTAINERS for one in spec.get(key, ())):
        found += [f"{container['name']}: {problem}" for problem in _container_problems(container, pod)]
    return found


def _container_problems(container: dict[str, Any], pod: dict[str, Any]) -> list[str]:
    own = container.get("securityContext", {})
    both = {**pod, **own}  # a container's own beats the pod's
    capabilities = own.get("capabilities", {})
    broken = {
        "privileged": own.get("privileged"),
        "allowPrivilegeEscalation is not false": own.get("allowPrivilegeEscalation") is not False,
        "capabilities are not all dropped": "ALL" not in capabilities.get("drop", ()),
        "capabilities are added": set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"},
        "runAsNonRoot is not true": both.get("runAsNonRoot") is not True,
        "runAsUser is 0": both.get("runAsUser") == 0,
        "no seccomp profile": both.get("seccompProfile", {}).get("type") not in SECCOMP,
        "AppArmor is off": both.get("appArmorProfile", {}).get("type") == "Unconfined",
        "SELinux options": both.get("seLinuxOptions", {}).get("type") not in SELINUX_TYPES
        or {"user", "role"} & set(both.get("seLinuxOptions", {})),
        "procMount": own.get("procMount", "Default") != "Default",
        "host process": both.get("windowsOptions", {}).get("hostProcess"),
        "hostPort": any(port.get("hostPort") for port in container.get("ports", ())),
        "a probe of another host": any(_host_of(container.get(probe, {})) for probe in PROBES),
    }
    return [problem for problem, is_broken in broken.items() if is_broken]


def _host_of(probe: dict[str, Any]) -> str:
    return str(probe.get("httpGet", {}).get("host", "") or probe.get("tcpSocket", {}).get("host", ""))

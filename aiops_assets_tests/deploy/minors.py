"""The current and the previous minor version of Kubernetes, as far as there are schemas of them here."""

from kubernetes_validate.utils import all_versions, major_minor

MINORS = list(dict.fromkeys(major_minor(one) for one in all_versions()))[-2:]

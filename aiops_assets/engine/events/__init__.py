"""Events, conditions and alerts as Kubernetes and Alertmanager send them, and what each of them stands for."""

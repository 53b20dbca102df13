"""The systemd units that the package ships, as files beside this one."""

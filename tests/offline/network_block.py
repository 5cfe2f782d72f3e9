"""Refuse every connection that would leave this machine; importing this module is enough."""

import ipaddress
import socket

_connect, _connect_ex = socket.socket.connect, socket.socket.connect_ex


def is_local(family, address):
    """Whether a socket of this family, connected to this address, stays on this machine."""
    if family not in (socket.AF_INET, socket.AF_INET6):
        return True
    host = str(address[0])
    try:
        return ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return host in ("localhost", "")


def _guarded(connect):
    def guarded(self, address):
        if not is_local(self.family, address):
            raise OSError(f"the tests run without a network; refused a connection to {address}")
        return connect(self, address)

    return guarded


socket.socket.connect, socket.socket.connect_ex = _guarded(_connect), _guarded(_connect_ex)

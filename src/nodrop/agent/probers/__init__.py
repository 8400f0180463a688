"""Drivers that ask one probe once: httpGet, tcpSocket, exec, grpc."""

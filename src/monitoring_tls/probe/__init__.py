"""What an address really serves: TLS handshakes with the standard library's ssl, bounded in time and bytes."""

"""Bytes and transactions behind one small abstract contract."""

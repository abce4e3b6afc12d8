"""The bookstore's applications: ordinary programs that know nothing of a mesh.

They call each other by service name through whatever `http_proxy` says, as any program would.
Nothing here imports another room of tulle. Counterpart: deploy.demo.bookstore starts them.
"""

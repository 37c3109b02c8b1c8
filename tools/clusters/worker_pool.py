"""Runs a Beam worker pool at one address: worker_pool.py HOST:PORT.

Beam's own program, apache_beam.runners.worker.worker_pool_main, listens at all
addresses. Then a machine has only one pool, which can serve only one node: two
nodes would use the same ids for their workers.
"""

import sys

import grpc
from apache_beam.portability.api import beam_fn_api_pb2_grpc
from apache_beam.runners.worker import worker_pool_main
from apache_beam.utils import thread_pool_executor

if __name__ == '__main__':
  server = grpc.server(thread_pool_executor.shared_unbounded_instance())
  beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(
    worker_pool_main.BeamFnExternalWorkerPoolServicer(use_process=True), server
  )
  server.add_insecure_port(sys.argv[1])
  server.start()
  server.wait_for_termination()

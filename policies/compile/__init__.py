"""World -> config, a file per concern. Entry point: `compile.world.compile_world`."""

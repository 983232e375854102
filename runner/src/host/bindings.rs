//! Generated bindings of the WIT packages in `wit/`; nothing else.

#![expect(missing_docs, reason = "generated from wit/, which documents every item")]

wasmtime::component::bindgen!({
    inline: "
        package runner:host;
        world component {
            include runner:step/step@0.1.0;
            include runner:process/process@0.1.0;
            include runner:docker/docker@0.1.0;
            include runner:aws/aws@0.1.0;
        }
    ",
    path: ["../wit/step", "../wit/process", "../wit/docker", "../wit/aws"],
    world: "runner:host/component",
    imports: { default: async | trappable },
    exports: { default: async },
    require_store_data_send: true,
    with: {
        "runner:step/secrets.secret": crate::capability::step::Secret,
        "runner:process/processes.process": crate::capability::process::Process,
        "runner:docker/images.image": crate::capability::docker::Image,
        "runner:docker/networks.network": crate::capability::docker::Network,
        "runner:docker/volumes.volume": crate::capability::docker::Volume,
        "runner:docker/containers.container": crate::capability::docker::Container,
        "runner:aws/cloudformation.stack": crate::capability::aws::Stack,
        "runner:aws/cloudformation.change-set": crate::capability::aws::ChangeSet,
    },
    trappable_error_type: {
        "runner:step/types.error" => crate::capability::Error,
    },
});

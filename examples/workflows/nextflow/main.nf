// Many genomes with Nextflow: one process a genome, resources by label as nf-core has them.
//
//   nextflow run examples/workflows/nextflow --genomes genomes.tsv --outdir scans
//
// genomes.tsv has the columns name and path.

nextflow.enable.dsl = 2

params.genomes = null
params.model   = 'encode-v2'
params.options = ''
params.outdir  = 'scans'

process TCNFAST_SCAN {
    tag "${name}"
    label 'process_medium'
    publishDir params.outdir, mode: 'move'

    input:
    tuple val(name), path(genome)

    output:
    path "${name}"

    script:
    """
    tcnfast scan ${genome} -m ${params.model} ${params.options} --threads ${task.cpus} -q -o ${name}
    """
}

workflow {
    rows = Channel.fromPath(params.genomes, checkIfExists: true)
        .splitCsv(header: true, sep: '\t')
        .map { row -> tuple(row.name, file(row.path, checkIfExists: true)) }
    TCNFAST_SCAN(rows)
}
